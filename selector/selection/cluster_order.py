"""The orders by clusters: seats for them, and an order within each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, Ranking, by_typicality, farthest_first, near_duplicates
from selector.selection.clustering import Clustering, cluster_space, nearest_cluster
from selector.selection.greedy import herded, mean_of
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
class HerdedClusters:
    """The ranking by clusters that represents the class: seats by the sizes of clusters, herding inside each.

    An unclustered patch belongs to its nearest cluster, in its size and its mean. So the means of clusters, weighted by their
    sizes, are the mean of the class: picks that follow both follow it. Every cluster's own order goes tier by tier, and so
    do the seats.
    """

    cache_dir: Path | None = None

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
        clustering = cluster_space(patches.space, cache_dir=self.cache_dir, seed=patches.seed)
        home = nearest_cluster(patches.space, clustering.label)
        tier = np.empty(len(patches), dtype=np.int64)
        for level, rows in enumerate(patches.tiers()):
            tier[rows] = level
        members = [np.flatnonzero(home == number) for number in range(clustering.clusters)]
        herds = [_herded_cluster(patches, rows, tier[rows]) for rows in members]
        ranked = [np.empty(0, dtype=np.int64)]
        for level in np.unique(tier):
            queues = [rows for herd in herds if len(rows := herd[tier[herd] == level])]
            ranked.append(deal(queues, np.ones(len(patches)), patches.typicality))
        return np.concatenate(ranked), clustering


def _herded_cluster(patches: ClassPatches, rows: NDArray[np.int64], tier: NDArray[np.int64]) -> NDArray[np.int64]:
    """A cluster's rows, tier by tier, herded towards the mean of images' best patches in it, or of all if it has none."""
    part, first = patches.space.subset(rows), patches.first[rows]
    target = mean_of(part, np.flatnonzero(first if first.any() else ~first))
    groups = [np.flatnonzero(tier == level) for level in np.unique(tier)]
    return rows[np.fromiter(herded(part, groups, target), dtype=np.int64)]


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
