"""Greedy strategies: typicality alone, and herding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, by_typicality
from selector.selection.clustering import Clustering


def typicality(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """The most typical first."""
    return np.concatenate([by_typicality(patches, rows) for rows in patches.tiers()]), None


def herding(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """Each next patch brings the mean of the chosen closest to the class's mean (Welling 2009; iCaRL 2017).

    The class's mean m is that of images' best patches. With S the sum of the k chosen, |m − (S + x)/(k + 1)|² is least
    over the x left where 2x·(S − (k + 1)m) + |x|² is: an argmin, and the pick itself is part of the mean.
    """
    space = patches.space
    mean = space.points[patches.first].sum(axis=0) / max(1, int(patches.first.sum()))
    along_mean = (space.points * mean).sum(axis=1)
    along_chosen = np.zeros(len(patches))
    order: list[int] = []
    for tier in patches.tiers():
        left = np.full(len(patches), np.inf)  # |x|² where x is left of this tier
        left[tier] = space.squared_norm[tier]
        for _ in range(len(tier)):
            cost = along_chosen - (len(order) + 1) * along_mean
            cost *= 2.0
            cost += left
            pick = int(np.argmin(cost))
            order.append(pick)
            along_chosen += space.dot(pick)
            left[pick] = np.inf
    return np.array(order, dtype=np.int64), None
