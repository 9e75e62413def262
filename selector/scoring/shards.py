"""Which files are scored together, and as what shard: pure, so that a resumed run cuts what an undisturbed one cuts."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shard:
    """Files that are committed together under one number. rows: int64, of the listing. of: files of the data that stand there,
    scored before or not."""

    number: int
    rows: NDArray[np.int64]
    of: int


def cut_shards(
    order: NDArray[np.int64], done: NDArray[np.bool_], taken: Collection[int], size: int, spare: Iterator[int]
) -> list[Shard]:
    """Cuts the files that are not done into shards of at most `size`.

    order: int64, row numbers in the order in which files are read. done: bool, by row. A file belongs to the shard of its
    position, so that rerunning after a crash writes the same shards. What is left of positions whose number is taken goes into
    shards with spare numbers.
    """
    todo = ~done[order]
    taken = set(taken)
    chunks = range(0, len(order), size)
    shards, left, left_of = [], [np.empty(0, np.int64)], 0
    for position, start in enumerate(chunks):
        chunk = order[start : start + size]
        rows = chunk[todo[start : start + size]]
        if position not in taken and len(rows):
            shards.append(Shard(position, rows, len(chunk)))
        elif len(rows):
            left.append(rows)
            left_of += len(chunk)
    rest = np.concatenate(left)
    cuts = range(0, len(rest), size)
    return shards + [Shard(next(spare), rest[at : at + size], left_of) for at in cuts]


def part_rows(order: NDArray[np.int64], size: int, part: tuple[int, int]) -> NDArray[np.bool_]:
    """bool, by row, what is of a part (its index and their number): the shards of every so many-th position."""
    index, count = part
    mine = np.empty(len(order), np.bool_)
    mine[order] = np.arange(len(order)) // size % count == index
    return mine


def spare_numbers(first: int, part: tuple[int, int]) -> Iterator[int]:
    """Numbers from `first` on, of which no other of as many parts takes any."""
    index, count = part
    return itertools.count(first + (index - first) % count, count)


def first_spare(files: int, size: int, taken: Collection[int]) -> int:
    """The first number after those of all positions and all that are taken."""
    return max([-(-files // size) - 1, *taken], default=-1) + 1
