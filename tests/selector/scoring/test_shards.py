"""Cutting files into shards."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selector.scoring.shards import Shard, cut_shards, first_spare, part_rows, spare_numbers

FILES = 40


def flags(numbers: set[int]) -> np.ndarray:
    return np.isin(np.arange(FILES), list(numbers))


def cut(order: np.ndarray, done: np.ndarray, taken: set[int], size: int, part: tuple[int, int] = (0, 1)) -> list[Shard]:
    return cut_shards(order, done, taken, size, spare_numbers(first_spare(len(order), size, taken), part))


@given(
    order=st.permutations(range(FILES)),
    done=st.sets(st.integers(0, FILES - 1)),
    taken=st.sets(st.integers(0, 12)),
    size=st.integers(1, 50),
)
def test_every_missing_file_is_in_exactly_one_shard_and_no_number_is_taken_twice(
    order: list[int], done: set[int], taken: set[int], size: int
) -> None:
    shards = cut(np.array(order), flags(done), taken, size)
    rows = [row for shard in shards for row in shard.rows.tolist()]
    assert sorted(rows) == [row for row in range(FILES) if row not in done]
    assert all(0 < len(shard.rows) <= min(size, shard.of) for shard in shards)
    numbers = [shard.number for shard in shards]
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & taken


def test_a_resumed_run_cuts_the_shards_of_an_undisturbed_one() -> None:
    order = np.random.default_rng(0).permutation(FILES)
    whole = {shard.number: shard.rows.tolist() for shard in cut(order, flags(set()), set(), 16)}
    assert whole == {0: order[:16].tolist(), 1: order[16:32].tolist(), 2: order[32:].tolist()}
    rest = cut(order, flags(set(whole[0])), {0}, 16)
    assert {shard.number: shard.rows.tolist() for shard in rest} == {1: whole[1], 2: whole[2]}


@given(
    order=st.permutations(range(FILES)),
    done=st.sets(st.integers(0, FILES - 1)),
    taken=st.sets(st.integers(0, 12)),
    size=st.integers(1, 50),
    parts=st.integers(1, 7),
)
def test_parts_share_the_files_and_the_numbers(
    order: list[int], done: set[int], taken: set[int], size: int, parts: int
) -> None:
    rows, numbers = list[int](), list[int]()
    for index in range(parts):
        others = ~part_rows(np.array(order), size, (index, parts))
        for shard in cut(np.array(order), flags(done) | others, taken, size, (index, parts)):
            rows += shard.rows.tolist()
            numbers.append(shard.number)
    assert sorted(rows) == [row for row in range(FILES) if row not in done]
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & taken


def test_the_shards_of_a_part_are_those_of_the_whole() -> None:
    order = np.random.default_rng(0).permutation(FILES)
    whole = {shard.number: shard.rows.tolist() for shard in cut(order, flags(set()), set(), 8)}
    second = cut(order, ~part_rows(order, 8, (1, 3)), set(), 8, (1, 3))
    assert {shard.number: shard.rows.tolist() for shard in second} == {1: whole[1], 4: whole[4]}
