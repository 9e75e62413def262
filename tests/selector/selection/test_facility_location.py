"""Facility location: the definition, and the same order from blocks of similarities."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from selector.errors import SelectorError
from selector.selection.block_coverage import BlockPicks, OpenCoverage, gain_of
from selector.selection.class_patches import ClassPatches
from selector.selection.distances import FeatureSpace
from selector.selection.facility_location import FACILITY_LIMIT, FacilityLocation, similarity, unit_range
from tests.patch_tables import blobs, scattered


def pool_of(
    features: NDArray[np.float16], typicality: NDArray[np.float64], held: bool = True, further: int = 0
) -> ClassPatches:
    """Patches whose last `further` are not their images' best; held: whether the matrix of distances is."""
    first = np.arange(len(features)) < len(features) - further
    return ClassPatches(FeatureSpace(features, len(features) if held else 2), typicality, first, 0)


def some_typicality(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=count).round(1)


def plain_lazy_greedy(patches: ClassPatches, weight: float) -> list[int]:
    """The order by the whole matrix of similarities: the reference, bit for bit."""
    squared = patches.space.squared_rows(np.arange(len(patches)))
    largest = squared.max()
    to_first = np.ascontiguousarray(
        (1.0 - squared / largest if largest > 0 else np.ones_like(squared))[:, patches.first]
    )
    bonus = weight * unit_range(patches.typicality)
    covered = np.zeros(to_first.shape[1])
    order = []
    for tier in patches.tiers():
        heap = [(-np.inf, int(row)) for row in tier]
        while heap:
            _, row = heapq.heappop(heap)
            gain = float(np.maximum(to_first[row] - covered, 0.0).sum() + bonus[row])
            if heap and (-gain, row) > heap[0]:
                heapq.heappush(heap, (-gain, row))
                continue
            order.append(row)
            np.maximum(covered, to_first[row], out=covered)
    return order


@given(st.integers(0, 2**20), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_each_pick_raises_the_value_most(seed: int, count: int) -> None:
    features = scattered(count, seed, width=5)
    typicality = some_typicality(count, seed)
    patches = pool_of(features, typicality)
    between, bonus = similarity(patches.space), 0.5 * unit_range(typicality)

    def value(rows: list[int]) -> float:
        return float(between[rows].max(axis=0).sum() + bonus[rows].sum())

    order = FacilityLocation()(patches)[0].tolist()
    unique = len(patches.tiers()[0])
    for place in range(unique):
        best = max(value([*order[:place], row]) for row in order[place:unique])
        assert value(order[: place + 1]) == pytest.approx(best, abs=1e-9)


def test_more_weight_on_typicality_brings_more_typical_picks() -> None:
    patches = pool_of(scattered(60), some_typicality(60))
    means = [patches.typicality[FacilityLocation(weight)(patches)[0][:10]].mean() for weight in (0.0, 5.0, 500.0)]
    assert means[0] < means[1] < means[2]


@given(
    seed=st.integers(0, 2**20),
    count=st.integers(3, 60),
    kinds=st.integers(1, 3),
    weight=st.sampled_from([0.0, 0.5, 50.0]),
    open_limit=st.sampled_from([0, 40, 400, 10**6]),
)
@settings(max_examples=40, deadline=None)
def test_blocks_of_similarities_give_the_order_of_the_whole_matrix(
    seed: int, count: int, kinds: int, weight: float, open_limit: int
) -> None:
    features = blobs([count] * kinds, seed, spread=0.3)
    features[count // 2 :: 5] = features[0]  # ties, and near-duplicates
    typicality, further = some_typicality(len(features), seed), count // 4
    whole = pool_of(features, typicality, further=further)
    parts = pool_of(features, typicality, held=False, further=further)
    expected = plain_lazy_greedy(whole, weight)
    assert FacilityLocation(weight)(whole)[0].tolist() == expected
    assert FacilityLocation(weight, open_limit)(parts)[0].tolist() == expected


@pytest.mark.parametrize("open_limit", [0, 500, 10**6])
def test_ties_up_to_rounding_are_decided_as_by_the_whole_matrix(open_limit: int) -> None:
    for seed in range(10):
        half = scattered(40, seed)
        features = np.concatenate([half, half[:, ::-1]])  # mirror images gain the same, summed in another order
        expected = plain_lazy_greedy(pool_of(features, np.zeros(80)), 0.5)
        found = FacilityLocation(open_limit=open_limit)(pool_of(features, np.zeros(80), held=False))[0]
        assert found.tolist() == expected


def test_gains_from_the_open_similarities_are_those_of_all_to_the_last_bit() -> None:
    patches = pool_of(scattered(300), np.zeros(300), held=False)
    begun = BlockPicks(patches.space, patches.first, np.zeros(300))
    left = begun.until_few_are_open(patches.tiers(), 15_000)
    assert len(begun.order) > 1
    between, covered, coverage = similarity(patches.space), begun.covered.copy(), OpenCoverage(begun, left)
    for row in np.concatenate(left).tolist():
        assert coverage.gain(row) == gain_of(between[row], covered, np.empty(300))


@pytest.mark.parametrize("structured", [True, False])
def test_blocks_give_the_order_of_the_whole_matrix_for_many_patches(structured: bool) -> None:
    features = blobs([200, 150, 100, 50], spread=0.1) if structured else scattered(500)
    typicality = np.random.default_rng(1).normal(size=500)
    expected = plain_lazy_greedy(pool_of(features, typicality), 0.5)
    assert FacilityLocation(open_limit=5_000)(pool_of(features, typicality, held=False))[0].tolist() == expected


def test_blocks_give_the_same_order_with_one_thread_and_with_two() -> None:
    features, typicality = scattered(700, width=320), np.random.default_rng(2).normal(size=700)
    with threadpool_limits(limits=1):
        one = FacilityLocation(open_limit=9_000)(pool_of(features, typicality, held=False))[0]
    with threadpool_limits(limits=2):
        two = FacilityLocation(open_limit=9_000)(pool_of(features, typicality, held=False))[0]
    np.testing.assert_array_equal(one, two)


def test_identical_patches_are_ordered_without_blocks_too() -> None:
    patches = pool_of(np.repeat(scattered(1), 30, axis=0), np.arange(30.0), held=False)
    assert FacilityLocation()(patches)[0].tolist() == list(range(29, -1, -1))


def test_a_class_too_large_to_compare_all_its_patches_is_refused() -> None:
    class Endless(ClassPatches):
        def __len__(self) -> int:
            return FACILITY_LIMIT + 1

    small = pool_of(scattered(2), np.zeros(2))
    with pytest.raises(SelectorError, match="clusters or herding"):
        FacilityLocation()(Endless(small.space, small.typicality, small.first, 0))
