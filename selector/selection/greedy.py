"""Greedy strategies: typicality alone, and herding with the ways to begin it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, by_typicality
from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace


def typicality(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """The most typical first."""
    return np.concatenate([by_typicality(patches, rows) for rows in patches.tiers()]), None


def herding(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """Each next patch brings the mean of the chosen closest to the mean of images' best patches."""
    target = mean_of(patches.space, np.flatnonzero(patches.first))
    return np.fromiter(herded(patches.space, patches.tiers(), target), dtype=np.int64), None


@dataclass(frozen=True)
class TypicalStart:
    """Herding whose first picks are typical and central: they herd the more typical part of the class by itself.

    The first pick is the patch of that part nearest the part's mean, which is its medoid by squared distances. After
    `picks` of them herding goes on to the mean of the whole class, with these among the chosen. share: of images' best
    patches, in (0, 1], rounded up.
    """

    share: float
    picks: int = 1

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
        space, (firsts, *later) = patches.space, patches.tiers()
        typical = by_typicality(patches, firsts)[: math.ceil(self.share * len(firsts))]
        begun = list(islice(herded(space, [typical], mean_of(space, typical)), self.picks))
        one_by_one = [np.array([row]) for row in begun]
        groups = [*one_by_one, np.setdiff1d(firsts, begun), *later]
        target = mean_of(space, np.flatnonzero(patches.first))
        return np.fromiter(herded(space, groups, target), dtype=np.int64), None


def mean_of(space: FeatureSpace, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [F], the mean of these rows; 0 of none. Sums of float16 values are exact in float64, in any order."""
    among = np.zeros(len(space))
    among[rows] = 1.0
    mean: NDArray[np.float64] = among @ space.points / max(1, len(rows))
    return mean


def herded(space: FeatureSpace, groups: Sequence[NDArray[np.int64]], target: NDArray[np.float64]) -> Iterator[int]:
    """The rows of the groups, one group after the other, by herding (Welling 2009; iCaRL 2017): each brings the mean of
    those so far closest to the target, float64 [F]. Ties go to the first row of the space.

    With S the sum of the k chosen and m the target, |m − (S + x)/(k + 1)|² is least over the x left where
    2x·(S − (k + 1)m) + |x|² is: an argmin, and the pick itself is part of the mean.
    """
    along_target = (space.points * target).sum(axis=1)
    along_chosen = np.zeros(len(space))
    count = 0
    for group in groups:
        left = np.full(len(space), np.inf)  # |x|² where x is left of this group
        left[group] = space.squared_norm[group]
        for _ in range(len(group)):
            count += 1
            cost = along_chosen - count * along_target
            cost *= 2.0
            cost += left
            pick = int(np.argmin(cost))
            yield pick
            along_chosen += space.dot(pick)
            left[pick] = np.inf
