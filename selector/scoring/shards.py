"""Which files are scored together, and as what shard: pure, so that a resumed run cuts what an undisturbed one cuts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredFile:
    """A file to score: its path relative to the data, and its class."""

    source: str
    class_id: int


@dataclass(frozen=True)
class Shard:
    """Files that are committed together under one number."""

    number: int
    files: tuple[ScoredFile, ...]


def plan_shards(files: Sequence[ScoredFile], done: Collection[str], taken: Collection[int], size: int) -> list[Shard]:
    """Cuts the files that are not done into shards of at most `size`.

    A file belongs to the shard of its position, so that rerunning after a crash writes the same shards; where the listing
    has changed and that number is taken, the shard gets the next free number after all others.
    """
    done, taken = set(done), set(taken)
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    spare = max([len(chunks) - 1, *taken], default=-1) + 1
    shards = []
    for position, chunk in enumerate(chunks):
        todo = tuple(file for file in chunk if file.source not in done)
        if not todo:
            continue
        number = position
        if number in taken:
            number, spare = spare, spare + 1
        shards.append(Shard(number, todo))
    return shards
