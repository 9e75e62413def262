"""The order by clusters that herds inside each: against brute force, and what its seats promise at every budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.records import ClassOrder
from selector.selection.strategies import STRATEGIES
from tests.patch_tables import blobs, image_ids, scattered

LOOSE = np.concatenate([scattered(30, seed=9), blobs([60, 45, 30], spread=0.08)])
"""Three clusters and, before them, patches of which hdbscan leaves some unclustered."""


def ordered(features: NDArray[np.float16], ranks: NDArray[np.int32] | None = None) -> ClassOrder:
    """The order of patches whose ids rise with their rows; with ranks, an image's patches follow one another."""
    ranks = np.zeros(len(features), dtype=np.int32) if ranks is None else ranks
    ids = np.array([f"{number:016x}" for number in (ranks == 0).cumsum()])
    typicality = np.random.default_rng(0).normal(size=len(features)).astype(np.float32)
    return STRATEGIES["herding-by-cluster"](features, typicality, ids, ranks, 0)


def homes(features: NDArray[np.float16], made: ClassOrder) -> NDArray[np.int64]:
    """The cluster of each patch; of an unclustered one, that of the nearest clustered patch, by brute force."""
    points, label = features.astype(np.float64), made.cluster_label
    clustered = np.flatnonzero(label >= 0)
    return np.array(
        [
            own if own >= 0 else label[clustered[np.linalg.norm(points[clustered] - point, axis=1).argmin()]]
            for own, point in zip(label, points, strict=True)
        ]
    )


def assert_seats_are_fair(dealt: NDArray[np.int64], clusters: int) -> None:
    """Of every first N, no seat would go to another cluster by Sainte-Laguë. dealt: the cluster of every pick."""
    sizes = np.bincount(dealt, minlength=clusters)
    for house in range(1, len(dealt) + 1):
        seats = np.bincount(dealt[:house], minlength=clusters)
        dearest = min(size / (2 * has - 1) for size, has in zip(sizes, seats, strict=True) if has)
        for size, has in zip(sizes, seats, strict=True):
            assert has == size or size / (2 * has + 1) <= dearest * (1 + 1e-12)


@given(st.lists(st.integers(6, 30), min_size=2, max_size=5), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_at_every_budget_clusters_have_seats_by_their_sizes(sizes: list[int], seed: int) -> None:
    features = blobs(sizes, seed, spread=0.08)
    made = ordered(features)
    assert_seats_are_fair(homes(features, made)[made.permutation], made.clusters)


def test_a_hand_worked_deal() -> None:
    groups = ordered(blobs([40, 24, 8], spread=0.08)).permutation
    # 40, 24, 8 divided by 1, 3, 5, …: 40, 24, 13.3, 8 (three times), 5.7; 8 goes to 24 / 3, 40 / 5 and 8 / 1
    dealt = np.digitize(groups, [40, 64])
    assert dealt[:3].tolist() == [0, 1, 0]
    assert sorted(dealt[3:6].tolist()) == [0, 1, 2]
    assert dealt[6] == 0


@pytest.mark.parametrize("features", [LOOSE, blobs([40, 20, 12], spread=0.2), scattered(60)], ids=str)
def test_inside_a_cluster_each_pick_brings_the_mean_of_its_picks_closest_to_the_mean_of_the_cluster(
    features: NDArray[np.float16],
) -> None:
    made, points = ordered(features), features.astype(np.float64)
    home = homes(features, made)
    for number in range(made.clusters):
        order = made.permutation[home[made.permutation] == number].tolist()
        mean = points[home == number].mean(axis=0)
        for place, pick in enumerate(order):
            gap = {row: np.linalg.norm(mean - points[[*order[:place], row]].mean(axis=0)) for row in order[place:]}
            assert gap[pick] == pytest.approx(min(gap.values()), abs=1e-12)


def test_unclustered_patches_count_with_their_nearest_cluster_and_wait_for_nothing() -> None:
    made = ordered(LOOSE)
    loose = made.cluster_label[made.permutation] < 0
    assert made.method == "hdbscan"
    assert 10 < loose.sum() == round(made.unclustered * len(LOOSE))
    assert_seats_are_fair(homes(LOOSE, made)[made.permutation], made.clusters)
    half = len(LOOSE) // 2
    assert 0.5 < loose[:half].mean() / loose.mean() < 1.5, "as many among the first half as among all"


def test_where_k_means_takes_over_its_clusters_have_the_seats() -> None:
    made = ordered(blobs([80], spread=0.1))
    assert (made.method, made.clusters) == ("kmeans", 6)
    dealt = made.cluster_label[made.permutation]
    assert_seats_are_fair(dealt, 6)


def test_the_first_pick_is_the_centre_of_the_largest_cluster() -> None:
    features = blobs([12, 50, 30], spread=0.08)
    points = features.astype(np.float64)[12:62]
    assert ordered(features).permutation[0] == 12 + np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()


def test_a_rare_mode_has_a_pick_as_soon_as_its_share_is_half_a_seat() -> None:
    made = ordered(blobs([94, 6], spread=0.08))
    assert made.clusters == 2
    assert np.flatnonzero(made.permutation >= 94)[0] == 8, "94 / 15 > 6 > 94 / 17: the ninth seat is its"


def test_near_duplicates_of_a_cluster_have_no_seat_before_all_others() -> None:
    features = blobs([30, 20], spread=0.2)
    features[1:6] = features[0]
    made = ordered(features)
    assert len(set(made.permutation[-5:].tolist()) & set(range(6))) == 5
    assert_seats_are_fair(homes(features, made)[made.permutation[:45]], made.clusters)


def test_a_cluster_of_further_patches_alone_comes_last_and_herds_by_itself() -> None:
    one, two = blobs([20, 20], spread=0.15).reshape(2, 20, -1)
    features = np.stack([one, two], axis=1).reshape(40, -1)  # each image: a patch of the one, then one of the other
    made = ordered(features, np.tile(np.array([0, 1], dtype=np.int32), 20))
    last = made.permutation[20:]
    points = features.astype(np.float64)[1::2]
    assert set((last % 2).tolist()) == {1}
    assert last[0] // 2 == np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_class_too_small_for_clusters_is_herded_as_a_whole(count: int) -> None:
    features, ids, ranks = scattered(count), image_ids(count), np.zeros(count, dtype=np.int32)
    by_name = {
        name: STRATEGIES[name](features, np.zeros(count, dtype=np.float32), ids, ranks, 0).permutation.tolist()
        for name in ("herding", "herding-by-cluster")
    }
    assert by_name["herding-by-cluster"] == by_name["herding"]


def test_of_identical_patches_the_most_typical_is_first() -> None:
    typicality = np.random.default_rng(1).normal(size=25).astype(np.float32)
    features, ranks = np.repeat(scattered(1), 25, axis=0), np.zeros(25, dtype=np.int32)
    made = STRATEGIES["herding-by-cluster"](features, typicality, image_ids(25), ranks, 0)
    assert made.permutation[0] == typicality.argmax()
    assert made.method == "none"
