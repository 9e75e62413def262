"""Baselines behind the same interface."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import pairwise_distances

from selector.selection.baselines import BASELINES
from tests.patch_tables import blobs, image_ids, scattered


def order_of(name: str, features: np.ndarray, seed: int = 0) -> list[int]:
    count = len(features)
    ids = np.array([f"{row:016x}" for row in range(count)])
    typicality = np.zeros(count, dtype=np.float32)
    return BASELINES[name](features, typicality, ids, np.zeros(count, dtype=np.int32), seed).permutation.tolist()


def test_random_depends_on_the_seed_alone() -> None:
    features = scattered(50)
    assert order_of("random", features, 1) == order_of("random", scattered(50, seed=8), 1)
    assert order_of("random", features, 1) != order_of("random", features, 2)


def test_random_gives_every_patch_the_same_chance_of_coming_first() -> None:
    firsts = np.bincount([order_of("random", scattered(4), seed)[0] for seed in range(800)], minlength=4)
    assert np.all(np.abs(firsts - 200) < 5 * np.sqrt(150))


def test_k_center_begins_at_the_patch_nearest_the_mean_and_always_takes_the_farthest() -> None:
    features = scattered(30, width=5)
    points = features.astype(np.float64)
    between = pairwise_distances(points)
    order = order_of("k-center", features)
    assert order[0] == np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1))
    for place in range(1, 30):
        gaps = between[np.ix_(order[place:], order[:place])].min(axis=1)
        assert gaps[0] >= gaps.max() - 1e-7


def test_k_means_takes_from_every_group_in_proportion_to_its_size() -> None:
    features = blobs([10, 10, 10, 10, 10, 10], spread=0.05)  # no near-duplicates
    groups = np.array(order_of("k-means", features)) // 10
    assert sorted(groups[:6].tolist()) == [0, 1, 2, 3, 4, 5]
    assert np.bincount(groups[:30]).tolist() == [5] * 6


def test_k_means_takes_the_patch_nearest_its_centre_first() -> None:
    features = blobs([9, 9], spread=0.2)  # √(18/2) = 3 clusters
    ids = image_ids(18)
    made = BASELINES["k-means"](features, np.zeros(18, dtype=np.float32), ids, np.zeros(18, dtype=np.int32), 0)
    points = features.astype(np.float64)
    for number in range(made.clusters):
        inside = made.permutation[made.cluster_label[made.permutation] == number]
        gaps = np.linalg.norm(points[inside] - points[inside].mean(axis=0), axis=1)
        assert gaps.tolist() == sorted(gaps.tolist())
