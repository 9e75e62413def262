"""Cutting files into shards."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selector.scoring.shards import cut_shards

FILES = 40


def flags(numbers: set[int]) -> np.ndarray:
    return np.isin(np.arange(FILES), list(numbers))


@given(
    order=st.permutations(range(FILES)),
    done=st.sets(st.integers(0, FILES - 1)),
    taken=st.sets(st.integers(0, 12)),
    size=st.integers(1, 50),
)
def test_every_missing_file_is_in_exactly_one_shard_and_no_number_is_taken_twice(
    order: list[int], done: set[int], taken: set[int], size: int
) -> None:
    shards = cut_shards(np.array(order), flags(done), taken, size)
    rows = [row for shard in shards for row in shard.rows.tolist()]
    assert sorted(rows) == [row for row in range(FILES) if row not in done]
    assert all(0 < len(shard.rows) <= min(size, shard.of) for shard in shards)
    numbers = [shard.number for shard in shards]
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & taken


def test_a_resumed_run_cuts_the_shards_of_an_undisturbed_one() -> None:
    order = np.random.default_rng(0).permutation(FILES)
    whole = {shard.number: shard.rows.tolist() for shard in cut_shards(order, flags(set()), (), 16)}
    assert whole == {0: order[:16].tolist(), 1: order[16:32].tolist(), 2: order[32:].tolist()}
    rest = cut_shards(order, flags(set(whole[0])), {0}, 16)
    assert {shard.number: shard.rows.tolist() for shard in rest} == {1: whole[1], 2: whole[2]}
