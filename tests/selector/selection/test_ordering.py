"""Orders of one class: the interface, the cluster order and herding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector import config
from selector.config import SelectConfig
from selector.errors import SelectorError
from selector.records import ClassOrder
from selector.selection.class_patches import ClassPatches, near_duplicates
from selector.selection.cluster_order import typical_then_unlike
from selector.selection.distances import FeatureSpace
from selector.selection.greedy import herding
from selector.selection.ordering import DEFAULT_ORDER, ORDERS
from selector.selection.strategies import STRATEGIES
from tests.patch_tables import blobs, image_ids, scattered

EVERY = pytest.mark.parametrize("name", list(STRATEGIES))


def in_order(name: str, features: NDArray[np.float16], typicality: NDArray[np.float32], seed: int = 0) -> ClassOrder:
    """The order of patches whose ids rise with their rows."""
    count = len(features)
    ids = np.array([f"{row:016x}" for row in range(count)])
    return STRATEGIES[name](features, typicality, ids, np.zeros(count, dtype=np.int32), seed)


def pool_of(
    features: NDArray[np.float16], typicality: NDArray[np.float64], first: NDArray[np.bool_] | None = None
) -> ClassPatches:
    return ClassPatches(
        FeatureSpace(features), typicality, np.ones(len(features), dtype=bool) if first is None else first, 0
    )


def some_typicality(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=count).astype(np.float32)


def test_the_orders_are_the_named_ones_and_herding_is_the_default() -> None:
    assert list(ORDERS) == ["herding", "facility-location", "clusters", "typicality"]
    assert tuple(STRATEGIES) == config.ORDERS
    assert DEFAULT_ORDER == SelectConfig.order == "herding"


@EVERY
@pytest.mark.parametrize("count", [0, 1, 2, 3, 11, 60])
def test_every_order_names_every_row_once(name: str, count: int) -> None:
    made = in_order(name, scattered(max(1, count))[:count], some_typicality(count))
    assert sorted(made.permutation.tolist()) == list(range(count))
    assert made.permutation.dtype == np.int64
    assert len(made.cluster_label) == len(made.membership) == count


@EVERY
def test_every_order_copes_with_identical_patches(name: str) -> None:
    made = in_order(name, np.repeat(scattered(1), 25, axis=0), np.zeros(25, dtype=np.float32))
    assert sorted(made.permutation.tolist()) == list(range(25))


@EVERY
@given(seed=st.integers(0, 2**20), count=st.integers(1, 40), kinds=st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_permuted_input_gives_the_same_picks(name: str, seed: int, count: int, kinds: int) -> None:
    draw = np.random.default_rng(seed)
    features = np.concatenate([blobs([count] * kinds, seed), scattered(1, seed)])
    features[:: max(2, count // 3)] = features[0]  # ties
    total = len(features)
    images = image_ids(total, seed)[draw.integers(0, total, total)]  # several patches of one image
    ranks = np.array([int((images[:row] == images[row]).sum()) for row in range(total)], dtype=np.int32)
    typicality = np.round(some_typicality(total, seed), 1)
    turn = draw.permutation(total)
    straight = STRATEGIES[name](features, typicality, images, ranks, seed)
    turned = STRATEGIES[name](features[turn], typicality[turn], images[turn], ranks[turn], seed)
    np.testing.assert_array_equal(turn[turned.permutation], straight.permutation)
    np.testing.assert_array_equal(turned.cluster_label, straight.cluster_label[turn])
    np.testing.assert_array_equal(turned.membership, straight.membership[turn])


@EVERY
def test_every_image_gives_its_best_patch_before_any_gives_a_second(name: str) -> None:
    features = blobs([30, 30])
    images = np.repeat(image_ids(30), 2)
    ranks = np.tile(np.array([0, 1], dtype=np.int32), 30)
    made = STRATEGIES[name](features, some_typicality(60), images, ranks, 3)
    assert ranks[made.permutation[:30]].tolist() == [0] * 30


@EVERY
def test_near_duplicates_come_after_all_other_best_patches_and_before_further_ones(name: str) -> None:
    features = blobs([40, 40], spread=0.2)
    features[5] = features[9]
    features[60] = features[61] = features[62]
    typicality = some_typicality(80)
    typicality[5], typicality[9] = 5.0, 6.0
    typicality[60], typicality[61], typicality[62] = 1.0, 3.0, 2.0
    ids, ranks = np.array([f"{row:016x}" for row in range(80)]), np.zeros(80, dtype=np.int32)
    ids[70:], ranks[70:] = ids[10:20], 1
    made = STRATEGIES[name](features, typicality, ids, ranks, 0)
    assert set(made.permutation[67:70].tolist()) == {5, 60, 62}
    assert set(made.permutation[70:].tolist()) == set(range(70, 80))


@pytest.mark.parametrize("name", list(ORDERS))
def test_every_candidate_for_the_default_records_the_same_clusters(name: str) -> None:
    features, typicality = blobs([40, 30, 30], spread=0.08), some_typicality(100)
    made, by_clusters = in_order(name, features, typicality), in_order("clusters", features, typicality)
    assert (made.method, made.clusters) == ("hdbscan", 3)
    np.testing.assert_array_equal(made.cluster_label, by_clusters.cluster_label)
    np.testing.assert_array_equal(made.membership, by_clusters.membership)


@EVERY
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    typicality = some_typicality(8)
    typicality[2] = np.nan
    with pytest.raises(SelectorError, match="1 patches have a typicality that is not finite"):
        in_order(name, scattered(8), typicality)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(SelectorError, match="equally long"):
        ORDERS["clusters"](scattered(8), some_typicality(7), image_ids(8), np.zeros(8, dtype=np.int32), 0)


def test_typicality_puts_the_most_typical_first() -> None:
    typicality = some_typicality(30)
    np.testing.assert_array_equal(
        in_order("typicality", scattered(30), typicality).permutation, np.argsort(-typicality)
    )


# The order by clusters


def test_clusters_get_seats_by_their_summed_typicality() -> None:
    features = blobs([30, 30, 30], spread=0.1)
    typicality = np.concatenate([np.full(30, 3.0), np.full(30, 2.0), np.full(30, 1.0)]).astype(np.float32)
    typicality[-1] = 0.0  # the class's minimum; votes are then 90, 60 and 29
    made = in_order("clusters", features, typicality)
    first = made.permutation[:18] // 30
    assert np.bincount(first, minlength=3).tolist() == [9, 6, 3]


def test_unclustered_patches_come_after_all_clustered_ones() -> None:
    features = np.concatenate([scattered(30, seed=9), blobs([60, 45, 30], spread=0.08)])
    typicality = some_typicality(len(features))
    typicality[:30] += 100  # however typical they are
    made = in_order("clusters", features, typicality)
    loose = made.cluster_label < 0
    assert made.method == "hdbscan"
    assert not near_duplicates(pool_of(features, typicality.astype(np.float64))).any()
    assert 0 < loose.sum() == round(made.unclustered * len(features))
    assert not loose[made.permutation][: -loose.sum()].any()


def test_the_most_typical_of_near_duplicates_stands_for_them() -> None:
    features = blobs([40, 40], spread=0.2)
    features[5] = features[9]
    typicality = some_typicality(80)
    typicality[5], typicality[9] = 5.0, 6.0
    made = in_order("clusters", features, typicality)
    assert made.permutation[-1] == 5
    assert 9 in made.permutation[:2]


def test_of_a_chain_of_neighbours_only_those_near_a_kept_one_are_duplicates() -> None:
    angles = np.concatenate([[0.0, 0.05, 0.1], np.linspace(1, 6, 30)])  # limit: a tenth of about 1.4
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    typicality = np.zeros(33)
    typicality[:3] = [3.0, 2.0, 1.0]
    space = FeatureSpace(features)
    limit = space.near_limit()
    assert space.squared(0)[1] <= limit
    expected = []
    for row in np.argsort(-typicality, kind="stable"):
        if not any(space.squared(int(row))[kept] <= limit for kept in expected):
            expected.append(int(row))
    assert np.flatnonzero(~near_duplicates(pool_of(features, typicality))).tolist() == sorted(expected)


def test_within_a_cluster_the_typical_half_comes_first_and_spreads_out() -> None:
    features, typicality = scattered(21), some_typicality(21).astype(np.float64)
    order = typical_then_unlike(pool_of(features, typicality), np.arange(21)).tolist()
    best_first = np.argsort(-typicality).tolist()
    assert order[0] == best_first[0]
    assert set(order[:11]) == set(best_first[:11])
    points = features.astype(np.float64)
    for place in range(1, 11):
        gaps = {
            row: min(np.linalg.norm(points[row] - points[seen]) for seen in order[:place]) for row in order[place:11]
        }
        assert gaps[order[place]] == pytest.approx(max(gaps.values()))


# Herding


def test_each_herding_pick_brings_the_mean_of_the_chosen_closest_to_the_mean_of_the_class() -> None:
    features = scattered(25, width=6)
    points = features.astype(np.float64)
    mean = points.mean(axis=0)
    order = herding(pool_of(features, np.zeros(25)))[0].tolist()
    for place, pick in enumerate(order):
        gap = {row: np.linalg.norm(mean - points[[*order[:place], row]].mean(axis=0)) for row in order[place:]}
        assert gap[pick] == pytest.approx(min(gap.values()), abs=1e-12)


def test_herding_represents_the_class_better_than_random_picks_do() -> None:
    features = scattered(200, width=16)
    points = features.astype(np.float64)
    herd = herding(pool_of(features, np.zeros(200)))[0]
    draw = np.random.default_rng(0)

    def gap(rows: NDArray[np.int64]) -> float:
        return float(np.linalg.norm(points[rows].mean(axis=0) - points.mean(axis=0)))

    for count in (5, 10, 50):
        chance = [gap(draw.permutation(200)[:count]) for _ in range(200)]
        assert gap(herd[:count]) < min(chance)
