"""Which files are scored together, and as what shard: pure, so that a resumed run cuts what an undisturbed one cuts."""

from __future__ import annotations

from collections.abc import Collection
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


def cut_shards(order: NDArray[np.int64], done: NDArray[np.bool_], taken: Collection[int], size: int) -> list[Shard]:
    """Cuts the files that are not done into shards of at most `size`.

    order: int64, row numbers in the order in which files are read. done: bool, by row. A file belongs to the shard of its
    position, so that rerunning after a crash writes the same shards. What is left of positions whose number is taken goes into
    shards with the next free numbers after all others.
    """
    todo = ~done[order]
    taken = set(taken)
    chunks = range(0, len(order), size)
    spare = max([len(chunks) - 1, *taken], default=-1) + 1
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
    return shards + [Shard(spare + i, rest[at : at + size], left_of) for i, at in enumerate(cuts)]
