"""What a method answers: picks, each a box of a picture of the pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selector.evaluation.pools import Pool
from selector.records import Box


@dataclass(frozen=True)
class Pick:
    """A box of a picture of the pool, pixels of the original."""

    picture: int
    box: Box


class Method(Protocol):
    """Picks of every class, `ipc` each or all that there are, sorted by (class_id, rank)."""

    def __call__(self, pool: Pool, ipc: int) -> list[Pick]: ...


def of_each_class(pool: Pool) -> Iterator[NDArray[np.int64]]:
    """The numbers of the pictures of one class after another, ascending."""
    for class_id in sorted(pool.class_names):
        yield np.flatnonzero(pool.pictures.labels == class_id)


def whole(pool: Pool, picture: int) -> Pick:
    """The whole image as a pick."""
    return Pick(picture, pool.pictures.whole(picture))


def by_class(pool: Pool, picks: Sequence[Pick]) -> list[list[Pick]]:
    """The picks of one class after another, in their order."""
    found: dict[int, list[Pick]] = {class_id: [] for class_id in sorted(pool.class_names)}
    for pick in picks:
        found[int(pool.pictures.labels[pick.picture])].append(pick)
    return list(found.values())
