"""Cutting files into shards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selector.scoring.shards import ScoredFile, cut_shards

FILES = [ScoredFile(f"{i:03d}.png", i % 3) for i in range(40)]


@given(done=st.sets(st.integers(0, 39)), taken=st.sets(st.integers(0, 12)), size=st.integers(1, 50))
def test_every_missing_file_is_in_exactly_one_shard_and_no_number_is_taken_twice(
    done: set[int], taken: set[int], size: int
) -> None:
    shards = cut_shards(FILES, {FILES[i].source for i in done}, taken, size)
    sources = [file.source for shard in shards for file in shard.files]
    assert sorted(sources) == [file.source for i, file in enumerate(FILES) if i not in done]
    numbers = [shard.number for shard in shards]
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & taken


def test_a_resumed_run_cuts_the_shards_of_an_undisturbed_one() -> None:
    whole = {shard.number: shard for shard in cut_shards(FILES, (), (), 16)}
    first = whole[0]
    rest = cut_shards(FILES, {file.source for file in first.files}, {0}, 16)
    assert {shard.number: shard for shard in rest} == {1: whole[1], 2: whole[2]}
