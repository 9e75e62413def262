"""Greedy strategies without clusters: typicality alone, herding and facility location.

Owns these three rankings. Must not know of clusters, IPC or files. Each puts images' best patches before further ones.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace
from selector.selection.pool import Pool, by_typicality

FACILITY_LIMIT = 20_000
"""Rows above which facility location's n × n matrix (3.2 GB) is refused."""


def typicality(pool: Pool) -> tuple[NDArray[np.int64], Clustering | None]:
    """The most typical first. FINDINGS: no better than chance once the window is right, it costs diversity."""
    return np.concatenate([by_typicality(pool, rows) for rows in pool.tiers()]), None


def herding(pool: Pool) -> tuple[NDArray[np.int64], Clustering | None]:
    """Each next patch brings the mean of the chosen closest to the class's mean (Welling 2009; iCaRL 2017).

    The class's mean m is that of images' best patches. With S the sum of the k chosen, |m − (S + x)/(k + 1)|² is least
    over the x left where 2x·(S − (k + 1)m) + |x|² is: an argmin, and the pick itself is part of the mean.
    """
    space = pool.space
    mean = space.points[pool.first].sum(axis=0) / max(1, int(pool.first.sum()))
    along_mean = (space.points * mean).sum(axis=1)
    along_chosen = np.zeros(len(pool))
    order: list[int] = []
    for tier in pool.tiers():
        barred = np.full(len(pool), np.inf)  # whatever is not left of this tier
        barred[tier] = 0.0
        for _ in range(len(tier)):
            cost = 2.0 * (along_chosen - (len(order) + 1) * along_mean) + space.squared_norm + barred
            pick = int(np.argmin(cost))
            order.append(pick)
            along_chosen += space.dot(pick)
            barred[pick] = np.inf
    return np.array(order, dtype=np.int64), None


@dataclass(frozen=True)
class FacilityLocation:
    """Greedy maximum of Σ_i max_{j chosen} s_ij + weight · Σ_{j chosen} t_j, evaluated lazily (Minoux 1978).

    s: `similarity`. t: typicality scaled to [0, 1] within the class. i runs over images' best patches. Memory is
    O(n²): a class of more than FACILITY_LIMIT patches raises SelectorError.
    """

    weight: float = 0.5

    def __call__(self, pool: Pool) -> tuple[NDArray[np.int64], Clustering | None]:
        if len(pool) > FACILITY_LIMIT:
            raise SelectorError(
                f"facility-location holds an n × n matrix: {len(pool)} patches of a class are more than {FACILITY_LIMIT}; "
                "use --order clusters or herding"
            )
        to_first = np.ascontiguousarray(similarity(pool.space)[:, pool.first])
        bonus = self.weight * unit_range(pool.typicality)
        covered = np.zeros(to_first.shape[1])
        order: list[int] = []
        for tier in pool.tiers():
            heap = [(-np.inf, int(row)) for row in tier]
            while heap:
                _, row = heapq.heappop(heap)
                gain = float(np.maximum(to_first[row] - covered, 0.0).sum() + bonus[row])
                # Gains only shrink: one computed now that still leads is the greatest; equal ones go to the first row.
                if heap and (-gain, row) > heap[0]:
                    heapq.heappush(heap, (-gain, row))
                    continue
                order.append(row)
                np.maximum(covered, to_first[row], out=covered)
        return np.array(order, dtype=np.int64), None


def similarity(space: FeatureSpace) -> NDArray[np.float64]:
    """float64 [n, n] in [0, 1]: 1 − squared distance / the class's largest one; all 1 if all rows are the same."""
    squared = space.squared_rows(np.arange(len(space)))
    largest = squared.max(initial=0.0)
    return 1.0 - squared / largest if largest > 0 else np.ones_like(squared)


def unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values moved and scaled to [0, 1]; all 0 if they are the same."""
    least, greatest = values.min(initial=np.inf), values.max(initial=-np.inf)
    return (values - least) / (greatest - least) if greatest > least else np.zeros_like(values)
