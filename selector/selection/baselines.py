"""Baselines on the same patches and behind the same interface as the orders: what a selection must beat."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, farthest_first
from selector.selection.clustering import Clustering, kmeans_space
from selector.selection.ordering import Order, SortedOrder
from selector.selection.seats import deal


def shuffled(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """A random permutation by the seed."""
    draw = np.random.default_rng(patches.seed)
    return np.concatenate([draw.permutation(rows) for rows in patches.tiers()]), None


def k_center(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """k_center_greedy (Gonzalez 1985; Sener and Savarese 2018), begun at the patch nearest the class's mean."""
    firsts, *later = patches.tiers()
    points = patches.space.points[firsts]
    gap = points - points.sum(axis=0) / max(1, len(points))
    start = np.argsort((gap**2).sum(axis=1), kind="stable")[:1]
    return farthest_first(patches.space, [firsts[start], np.delete(firsts, start), *later]), None


def k_means(patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
    """√(n/2) clusters of k-means, seats by their sizes, within a cluster the patch nearest its centre first.

    The number of clusters does not follow IPC, so that a smaller selection is a prefix of a larger one.
    """
    clustering = kmeans_space(patches.space, "", patches.seed)
    gap = np.empty(len(patches))
    for number in range(clustering.clusters):
        inside = clustering.label == number
        points = patches.space.points[inside]
        gap[inside] = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    ranked = [np.empty(0, dtype=np.int64)]
    for tier in patches.tiers():
        members = [tier[clustering.label[tier] == number] for number in range(clustering.clusters)]
        queues = [rows[np.argsort(gap[rows], kind="stable")] for rows in members if len(rows)]
        ranked.append(deal(queues, np.ones(len(patches)), patches.typicality))
    return np.concatenate(ranked), clustering


BASELINES: Mapping[str, Order] = MappingProxyType(
    {
        "random": SortedOrder(shuffled),
        "k-center": SortedOrder(k_center),
        "k-means": SortedOrder(k_means),
    }
)
