"""The exact feature space."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from threadpoolctl import threadpool_limits

from selector.errors import SelectorError
from selector.selection.distances import FeatureSpace
from tests.patch_tables import scattered, unit


def every(space: FeatureSpace) -> np.ndarray:
    """float64 [n, n], the squared distances between all rows."""
    return space.squared_rows(np.arange(len(space)))


def test_squared_distances_equal_those_of_exact_fractions() -> None:
    features = scattered(6, width=33)
    squared = FeatureSpace(features).squared_rows(np.arange(6))
    for one in range(6):
        for other in range(6):
            gaps = [
                Fraction(float(a)) - Fraction(float(b)) for a, b in zip(features[one], features[other], strict=True)
            ]
            assert Fraction(float(squared[one, other])) == sum(gap * gap for gap in gaps)


def test_permuting_rows_or_columns_or_threads_changes_no_bit() -> None:
    features = scattered(300, width=640)
    draw = np.random.default_rng(1)
    rows, columns = draw.permutation(300), draw.permutation(640)
    with threadpool_limits(limits=1):
        expected = every(FeatureSpace(features))
    with threadpool_limits(limits=2):
        found = every(FeatureSpace(features[rows][:, columns]))
    np.testing.assert_array_equal(found, expected[np.ix_(rows, rows)])


def test_distances_made_when_asked_for_equal_those_of_the_held_matrix() -> None:
    features = scattered(40)
    held, made = FeatureSpace(features), FeatureSpace(features, matrix_limit=10)
    assert held.holds_matrix
    assert not made.holds_matrix
    np.testing.assert_array_equal(every(made), every(held))
    np.testing.assert_array_equal(made.dot(7), held.dot(7))
    np.testing.assert_array_equal(made.pairs(), held.pairs())
    np.testing.assert_array_equal(made.squared(7), held.squared(7))
    np.testing.assert_array_equal(made.crowded(1.5), held.crowded(1.5))


def test_pairs_are_those_of_scipy_in_its_order() -> None:
    features = scattered(9)
    reference = pdist(features.astype(np.float64), "sqeuclidean")
    np.testing.assert_allclose(FeatureSpace(features).pairs(), reference, atol=1e-14)


def test_near_means_a_tenth_of_the_median_distance() -> None:
    angles = np.array([0.0, 1.0, 2.0])  # distances 2 sin(1/2), 2 sin(1/2) and 2 sin(1): the median is the first
    features = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert FeatureSpace(features).near_limit() == pytest.approx((0.1 * 2 * np.sin(0.5)) ** 2, rel=1e-2)


def test_only_rows_with_a_close_neighbour_are_crowded() -> None:
    features = scattered(20)
    features[3] = features[11]
    space = FeatureSpace(features)
    assert np.flatnonzero(space.crowded(space.near_limit())).tolist() == [3, 11]


@pytest.mark.parametrize("matrix_limit", [100, 10])
def test_equal_rows_are_counted_once(matrix_limit: int) -> None:
    features = scattered(30)
    features[[4, 9, 20]] = features[2]
    features[25] = features[7]
    features[12, 0] = np.nextafter(features[11, 0], np.float16(1))  # all but equal to row 11
    features[12, 1:] = features[11, 1:]
    assert FeatureSpace(features, matrix_limit).distinct() == 26
    assert FeatureSpace(features[:0], matrix_limit).distinct() == 0


@pytest.mark.parametrize("matrix_limit", [100, 20, 3])
def test_a_subset_has_the_distances_of_its_rows(matrix_limit: int) -> None:
    space, rows = FeatureSpace(scattered(40), matrix_limit), np.array([31, 2, 17, 5])
    np.testing.assert_array_equal(every(space.subset(rows)), space.squared_rows(rows)[:, rows])
    np.testing.assert_array_equal(space.subset(rows).points, space.points[rows])


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.full((2, 3), np.nan, dtype=np.float16), "feature row 0 holds NaN or Inf"),
        (np.array([[0.0, 1.0], [np.inf, 0.0]], dtype=np.float16), "feature row 1"),
        (np.array([[3.0, 4.0]], dtype=np.float16), "L2-normalised"),
        (np.ones(3, dtype=np.float16), r"shape \[n, F\]"),
    ],
)
def test_features_that_would_be_inexact_are_refused(features: np.ndarray, said: str) -> None:
    with pytest.raises(SelectorError, match=said):
        FeatureSpace(features)
