"""What the inside of an ordering strategy sees: one class's patches, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace


@dataclass(frozen=True)
class ClassPatches:
    """A class's n patches, sorted by (image_id, patch_rank).

    space: the feature space, n rows. typicality: float64 [n]. first: bool [n], True for an image's best patch.
    seed: as given.
    """

    space: FeatureSpace
    typicality: NDArray[np.float64]
    first: NDArray[np.bool_]
    seed: int

    def __len__(self) -> int:
        return len(self.typicality)

    def tiers(self) -> list[NDArray[np.int64]]:
        """The rows that every order takes one after the other: images' best patches, those of them that are near a more
        typical one (`near_duplicates`), further patches."""
        duplicate = near_duplicates(self)
        return [np.flatnonzero(self.first & ~duplicate), np.flatnonzero(duplicate), np.flatnonzero(~self.first)]


class Ranking(Protocol):
    """The inside of a strategy: patches → (int64 [n] rows best first, the clustering that it used or None)."""

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]: ...


def by_typicality(patches: ClassPatches, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """These rows, the most typical first; ties go to the first row."""
    return rows[np.argsort(-patches.typicality[rows], kind="stable")]


def near_duplicates(patches: ClassPatches) -> NDArray[np.bool_]:
    """bool [n]: True for an image's first patch that is near a more typical first patch which is itself kept.

    Near is what `FeatureSpace.near_limit` says. Ties in typicality go to the first row.
    """
    limit = patches.space.near_limit()
    duplicate = np.zeros(len(patches), dtype=np.bool_)
    for row in by_typicality(patches, np.flatnonzero(patches.space.crowded(limit) & patches.first)):
        if not duplicate[row]:
            duplicate |= (patches.space.squared(row) <= limit) & patches.first
            duplicate[row] = False
    return duplicate


def farthest_first(space: FeatureSpace, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The rows of the groups, one group after the other, each row the farthest from all before it (k_center_greedy).

    The very first is the first listed; ties go to the one listed first.
    """
    rows: NDArray[np.int64] = np.concatenate([np.empty(0, dtype=np.int64), *groups])
    part = space.subset(rows)
    distance = np.full(len(rows), np.inf)  # to the nearest of those before; -1 for those, which no minimum raises
    order = np.empty(len(rows), dtype=np.int64)
    start = 0
    for group in groups:
        end = start + len(group)
        left = distance[start:end]
        for place in range(start, end):
            order[place] = farthest = start + int(np.argmax(left))
            np.minimum(distance, part.squared(farthest), out=distance)
            distance[farthest] = -1.0
        start = end
    return rows[order]
