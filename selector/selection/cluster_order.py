"""The order by clusters: seats for them, and within a cluster its typical patches that differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, Ranking, by_typicality, farthest_first, near_duplicates
from selector.selection.clustering import Clustering, cluster_space, nearest_cluster
from selector.selection.seats import deal


@dataclass(frozen=True)
class Clusters:
    """The ranking by clusters, in four tiers that are each dealt out by `seats.deal`:

    clustered patches; unclustered ones, counted with their nearest cluster; near-duplicates of a more typical patch;
    and last images' further patches. A cluster's votes are the sum of its patches' typicality
    above the class's minimum.
    """

    min_cluster_size: int | None = None
    cache_dir: Path | None = None

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
        clustering = cluster_space(
            patches.space, min_cluster_size=self.min_cluster_size, cache_dir=self.cache_dir, seed=patches.seed
        )
        home = nearest_cluster(patches.space, clustering.label)
        tier = np.where(clustering.label < 0, 1, 0)
        tier[near_duplicates(patches)] = 2
        tier[~patches.first] = 3
        votes = patches.typicality - patches.typicality.min(initial=np.inf)
        ranked = [np.empty(0, dtype=np.int64)]
        for level in range(4):
            members = [np.flatnonzero((tier == level) & (home == number)) for number in range(clustering.clusters)]
            queues = [typical_then_unlike(patches, rows) for rows in members if len(rows)]
            ranked.append(deal(queues, votes, patches.typicality))
        return np.concatenate(ranked), clustering


@dataclass(frozen=True)
class WithClusters:
    """A ranking that asks for no clusters, with the class's clusters for the record: manifests and reports show them."""

    ranking: Ranking
    cache_dir: Path | None = None

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
        rows, _ = self.ranking(patches)
        return rows, cluster_space(patches.space, cache_dir=self.cache_dir, seed=patches.seed)


def typical_then_unlike(patches: ClassPatches, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows, the more typical half first; in each half the next is the one farthest from all before it.

    The very first is the most typical. Farthest-first alone would lead with outliers, typicality with look-alikes.
    """
    ranked = by_typicality(patches, rows)
    half = (len(rows) + 1) // 2
    return farthest_first(patches.space, [ranked[:half], ranked[half:]])
