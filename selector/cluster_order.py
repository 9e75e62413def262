"""The default order: seats for clusters, and within a cluster its typical patches that differ from each other.

Owns DESIGN section 6's order. Must not know of IPC, files or classes' names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.clustering import Clustering, cluster_space, nearest_cluster
from selector.pool import Pool, by_typicality, farthest_first
from selector.seats import deal


@dataclass(frozen=True)
class Clusters:
    """The ranking by clusters, in three tiers that are each dealt out by `seats.deal`:

    clustered patches; unclustered ones, counted with their nearest cluster; and last the near-duplicates of a more typical
    patch together with images' further patches. A cluster's votes are its typicality above the class's minimum, summed.
    """

    min_cluster_size: int | None = None
    cache_dir: Path | None = None

    def __call__(self, pool: Pool) -> tuple[NDArray[np.int64], Clustering | None]:
        clustering = cluster_space(
            pool.space, min_cluster_size=self.min_cluster_size, cache_dir=self.cache_dir, seed=pool.seed
        )
        home = nearest_cluster(pool.space, clustering.label)
        last = ~pool.first | near_duplicates(pool)
        loose = (clustering.label < 0) & ~last
        votes = pool.typicality - pool.typicality.min(initial=np.inf)
        ranked = [np.empty(0, dtype=np.int64)]
        for tier in (np.flatnonzero(~loose & ~last), np.flatnonzero(loose), np.flatnonzero(last)):
            members = [tier[home[tier] == number] for number in range(clustering.clusters)]
            queues = [typical_then_unlike(pool, rows) for rows in members if len(rows)]
            ranked.append(deal(queues, votes, pool.typicality))
        return np.concatenate(ranked), clustering


def near_duplicates(pool: Pool) -> NDArray[np.bool_]:
    """bool [n]: True for an image's first patch that is near a more typical first patch which is itself kept.

    Near is what `FeatureSpace.near_limit` says. Ties in typicality go to the first row.
    """
    limit = pool.space.near_limit()
    duplicate = np.zeros(len(pool), dtype=np.bool_)
    for row in by_typicality(pool, np.flatnonzero(pool.space.crowded(limit) & pool.first)):
        if not duplicate[row]:
            kept_until_now = pool.space.squared(row) > limit
            duplicate |= ~kept_until_now & pool.first
            duplicate[row] = False
    return duplicate


def typical_then_unlike(pool: Pool, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows, first the more typical half and then the other; in each the next is the one farthest from all before it.

    The very first is the most typical. Farthest-first alone would lead with outliers, typicality alone with look-alikes.
    """
    ranked = by_typicality(pool, rows)
    half = (len(rows) + 1) // 2
    distance = np.full(len(pool), np.inf)
    return np.array(
        farthest_first(pool, ranked[:half], distance) + farthest_first(pool, ranked[half:], distance),
        dtype=np.int64,
    )
