"""Herding that begins with typical and central patches, against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.selection.class_patches import ClassPatches, near_duplicates
from selector.selection.distances import FeatureSpace
from selector.selection.greedy import TypicalStart, herding
from tests.patch_tables import blobs, scattered


def patches_of(features: NDArray[np.float16], seed: int = 0) -> ClassPatches:
    """One patch an image, of random typicality."""
    typicality = np.random.default_rng(seed).normal(size=len(features))
    return ClassPatches(FeatureSpace(features), typicality, np.ones(len(features), dtype=np.bool_), 0)


def typical_part(patches: ClassPatches, share: float) -> NDArray[np.int64]:
    """The most typical share of the patches, rounded up."""
    return np.argsort(-patches.typicality)[: math.ceil(share * len(patches))]


def assert_herded(order: list[int], places: range, target: NDArray[np.float64], points: NDArray[np.float64]) -> None:
    """At these places of the order the pick brings the mean of the chosen closest to the target, of all that are left."""
    for place in places:
        gap = {row: np.linalg.norm(target - points[[*order[:place], row]].mean(axis=0)) for row in order[place:]}
        assert gap[order[place]] == pytest.approx(min(gap.values()), abs=1e-12)


@pytest.mark.parametrize("share", [1 / 2, 1 / 4])
@given(st.integers(1, 30), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_the_first_pick_is_the_medoid_of_the_typical_part(share: float, count: int, seed: int) -> None:
    patches = patches_of(scattered(count, seed), seed)
    typical = typical_part(patches, share)
    points = patches.space.points[typical]
    apart = ((points[:, None] - points) ** 2).sum(axis=2).sum(axis=1)
    first = TypicalStart(share)(patches)[0][0]
    assert first in typical
    assert apart[typical == first] == pytest.approx(apart.min(), abs=1e-12)


@given(st.integers(1, 30), st.integers(0, 2**16), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_the_rest_is_herded_to_the_mean_of_the_class_with_the_first_picks_among_the_chosen(
    count: int, seed: int, picks: int
) -> None:
    patches = patches_of(scattered(count, seed), seed)
    order = TypicalStart(1 / 2, picks)(patches)[0].tolist()
    points = patches.space.points
    assert sorted(order) == list(range(count))
    assert_herded(order, range(min(picks, math.ceil(count / 2)), count), points.mean(axis=0), points)


def test_of_a_pair_both_herd_the_typical_half() -> None:
    patches = patches_of(scattered(30))
    typical = typical_part(patches, 1 / 2)
    order = TypicalStart(1 / 2, picks=2)(patches)[0].tolist()
    points = patches.space.points
    within = order[:2] + [int(row) for row in typical if row not in order[:2]]
    assert set(order[:2]) <= set(typical.tolist())
    assert_herded(within, range(2), points[typical].mean(axis=0), points)


def test_the_first_pick_is_the_same_for_one_and_for_two() -> None:
    patches = patches_of(blobs([30, 20], spread=0.2))
    assert TypicalStart(1 / 2, picks=2)(patches)[0][0] == TypicalStart(1 / 2)(patches)[0][0]


def test_of_the_whole_class_it_is_herding() -> None:
    patches = patches_of(blobs([30, 20], spread=0.2))
    np.testing.assert_array_equal(TypicalStart(1.0)(patches)[0], herding(patches)[0])


def test_a_near_duplicate_of_a_more_typical_patch_is_never_among_the_first() -> None:
    features = blobs([20], spread=0.2)
    features[1:8] = features[0]  # the centre of whatever they are in
    patches = patches_of(features)
    waiting = np.flatnonzero(near_duplicates(patches))
    order = TypicalStart(1 / 2, picks=3)(patches)[0]
    assert len(waiting) == 7
    assert set(order[-7:].tolist()) == set(waiting.tolist())
