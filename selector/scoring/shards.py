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
    """Files that are committed together under one number. of: files of the data that stand there, scored before or not."""

    number: int
    files: tuple[ScoredFile, ...]
    of: int


def cut_shards(files: Sequence[ScoredFile], done: Collection[str], taken: Collection[int], size: int) -> list[Shard]:
    """Cuts the files that are not done into shards of at most `size`.

    A file belongs to the shard of its position, so that rerunning after a crash writes the same shards. What is left of
    positions whose number is taken goes into shards with the next free numbers after all others.
    """
    done, taken = set(done), set(taken)
    chunks = [files[start : start + size] for start in range(0, len(files), size)]
    spare = max([len(chunks) - 1, *taken], default=-1) + 1
    shards, left, left_of = [], list[ScoredFile](), 0
    for position, chunk in enumerate(chunks):
        todo = [file for file in chunk if file.source not in done]
        if position not in taken and todo:
            shards.append(Shard(position, tuple(todo), len(chunk)))
        elif todo:
            left, left_of = left + todo, left_of + len(chunk)
    cuts = range(0, len(left), size)
    return shards + [Shard(spare + i, tuple(left[at : at + size]), left_of) for i, at in enumerate(cuts)]
