"""Clusters of one class's patches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import hdbscan
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from selector.errors import SelectorError
from selector.selection.clustering import (
    MIN_SAMPLES,
    Clustering,
    cluster_space,
    default_min_cluster_size,
    nearest_cluster,
    principal_components,
    single_linkage_tree,
)
from selector.selection.distances import MATRIX_LIMIT, FeatureSpace
from tests.patch_tables import blobs, scattered, unit


def cluster(features: NDArray[np.float16], *, matrix_limit: int = MATRIX_LIMIT, **asked: Any) -> Clustering:
    return cluster_space(FeatureSpace(features, matrix_limit), **asked)


def same(one: Clustering, other: Clustering) -> bool:
    return (
        np.array_equal(one.label, other.label)
        and np.array_equal(one.membership, other.membership)
        and (one.method, one.note) == (other.method, other.note)
    )


def with_strays() -> NDArray[np.float16]:
    """Three clusters and forty patches that belong to none."""
    return np.concatenate([blobs([60, 45, 30], spread=0.08), scattered(40, seed=5)])


def test_separate_groups_are_found_and_numbered_by_size() -> None:
    found = cluster(blobs([20, 60, 40]))
    assert found.method == "hdbscan"
    assert found.note == ""
    assert found.label.tolist() == [2] * 20 + [0] * 60 + [1] * 40
    assert found.clusters == 3
    assert found.unclustered == 0.0


def test_labels_and_memberships_are_those_of_hdbscan_on_scikit_learns_distances() -> None:
    features = with_strays()
    found = cluster(features, min_cluster_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference = hdbscan.HDBSCAN(min_cluster_size=8, min_samples=MIN_SAMPLES).fit(features.astype(np.float64))
    assert found.method == "hdbscan"
    assert 0 < found.unclustered < 0.5
    assert adjusted_rand_score(reference.labels_, found.label) == 1.0
    np.testing.assert_array_equal(found.label < 0, reference.labels_ < 0)
    np.testing.assert_allclose(found.membership, reference.probabilities_, atol=1e-6)


def test_unclustered_patches_have_no_membership_and_are_counted() -> None:
    found = cluster(with_strays())
    assert np.all(found.membership[found.label < 0] == 0.0)
    assert np.all((found.membership >= 0) & (found.membership <= 1))
    assert found.unclustered == pytest.approx(np.mean(found.label == -1))


def test_kmeans_takes_over_when_most_patches_are_unclustered() -> None:
    found = cluster(np.concatenate([blobs([12, 12]), scattered(120, seed=3)]), min_cluster_size=10)
    assert found.method == "kmeans"
    assert "unclustered" in found.note
    assert found.unclustered == 0.0
    assert found.clusters == round(np.sqrt(144 / 2))


def test_kmeans_takes_over_when_there_is_no_second_cluster() -> None:
    found = cluster(blobs([80]))
    assert found.method == "kmeans"
    assert "hdbscan" in found.note


def test_the_fallback_finds_groups_too_small_for_hdbscan() -> None:
    found = cluster(blobs([4, 4]), min_cluster_size=5)
    assert found.method == "kmeans"
    assert "8 patches can't hold two clusters of 5" in found.note
    assert found.label.tolist() == [0] * 4 + [1] * 4
    assert np.all(found.membership > 0.5)


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_without_a_second_patch_is_one_cluster_at_most(count: int) -> None:
    found = cluster(scattered(3)[:count])
    assert (found.method, found.note, found.clusters) == ("none", "", count)
    assert found.label.tolist() == [0] * count


@pytest.mark.parametrize("count", [2, 3])
def test_a_class_of_two_or_three_patches_is_clustered_without_complaint(count: int) -> None:
    found = cluster(scattered(count))
    assert len(found.label) == count
    assert found.clusters == found.label.max() + 1
    assert np.isfinite(found.membership).all()


@pytest.mark.parametrize("count", [2, 5, 200])
def test_identical_patches_are_one_cluster(count: int) -> None:
    found = cluster(np.repeat(scattered(1), count, axis=0))
    assert found.method == "none"
    assert found.note == f"all {count} patches have the same features"
    assert found.label.tolist() == [0] * count


def test_many_copies_of_a_few_patches_are_clustered_without_complaint() -> None:
    found = cluster(np.repeat(scattered(4), 30, axis=0))
    assert found.clusters == 4
    assert np.isfinite(found.membership).all()


def test_a_min_cluster_size_above_the_class_falls_back() -> None:
    found = cluster(blobs([20, 20]), min_cluster_size=500)
    assert found.method == "kmeans"


def test_features_that_are_not_finite_are_refused() -> None:
    features = scattered(12)
    features[4, 2] = np.inf
    with pytest.raises(SelectorError, match="feature row 4"):
        cluster(features)


@pytest.mark.parametrize("matrix_limit", [5_000, 50])
def test_the_number_of_threads_does_not_change_the_answer(matrix_limit: int) -> None:
    for features in (with_strays(), scattered(700)):  # the second one is answered by k-means
        with threadpool_limits(limits=1):
            alone = cluster(features, matrix_limit=matrix_limit)
        with threadpool_limits(limits=2):
            together = cluster(features, matrix_limit=matrix_limit)
        assert same(alone, together)


def test_above_the_matrix_limit_the_same_groups_are_found() -> None:
    features = blobs([60, 45, 30], width=90)
    found = cluster(features, matrix_limit=50)
    assert found.method == "hdbscan"
    np.testing.assert_array_equal(found.label, cluster(features).label)


def test_principal_components_are_scikit_learns_up_to_their_signs() -> None:
    points = scattered(80, width=30).astype(np.float64) * np.linspace(1, 2, 30)
    found, reference = principal_components(points, 5), PCA(5).fit_transform(points)
    np.testing.assert_allclose(np.abs(found), np.abs(reference), atol=1e-5)


def test_principal_components_do_not_change_with_the_order_of_rows_or_the_number_of_threads() -> None:
    points = scattered(80, width=30).astype(np.float64)
    turn = np.random.default_rng(0).permutation(80)
    with threadpool_limits(limits=1):
        expected = principal_components(points, 8)[turn]
    with threadpool_limits(limits=2):
        np.testing.assert_array_equal(principal_components(points[turn], 8), expected)


def test_kmeans_memberships_are_one_at_a_mean_and_zero_where_another_is_as_near() -> None:
    corner = np.array([[1, 0], [0, 1]], dtype=np.float64)
    features = unit(np.concatenate([np.repeat(corner, 4, axis=0), [[1.0, 0.9]]]))
    found = cluster(features, min_cluster_size=50)  # two clusters: the last patch lies almost between them
    assert found.method == "kmeans"
    assert found.membership[:8].min() > 0.8
    assert found.membership[8] < 0.5


def test_the_tree_of_a_large_class_is_cached_and_gives_the_same_clusters_for_every_min_cluster_size(
    tmp_path: Path,
) -> None:
    features = with_strays()
    fresh = {size: cluster(features, min_cluster_size=size, matrix_limit=50) for size in (5, 8, 20)}
    for size, expected in fresh.items():
        found = cluster(features, min_cluster_size=size, cache_dir=tmp_path, matrix_limit=50)
        assert same(found, expected)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_tree_of_a_small_class_is_grown_faster_than_found_and_leaves_no_file(tmp_path: Path) -> None:
    cluster(with_strays(), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cached_tree_is_the_one_that_is_used(tmp_path: Path) -> None:
    features, other = with_strays(), blobs([75, 100])
    for rows, folder in ((features, tmp_path / "own"), (other, tmp_path / "other")):
        cluster(rows, cache_dir=folder, matrix_limit=50)
    (own,), (foreign,) = (list((tmp_path / name).iterdir()) for name in ("own", "other"))
    foreign.replace(own)
    found = cluster(features, cache_dir=tmp_path / "own", matrix_limit=50)
    np.testing.assert_array_equal(found.label, cluster(other, matrix_limit=50).label)


def test_other_features_do_not_meet_the_cached_tree(tmp_path: Path) -> None:
    cluster(with_strays(), cache_dir=tmp_path, matrix_limit=50)
    other = with_strays()[::-1].copy()
    assert same(cluster(other, cache_dir=tmp_path, matrix_limit=50), cluster(other, matrix_limit=50))


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01"])
def test_a_damaged_cache_is_grown_again(tmp_path: Path, content: bytes) -> None:
    features = with_strays()
    expected = cluster(features, cache_dir=tmp_path, matrix_limit=50)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert same(cluster(features, cache_dir=tmp_path, matrix_limit=50), expected)
    assert np.load(path).shape == (len(features) - 1, 4)


@given(seed=st.integers(0, 2**20), count=st.integers(11, 60))
@settings(max_examples=25, deadline=None)
def test_single_linkage_grows_the_tree_that_hdbscan_grows_of_the_distance_matrix(seed: int, count: int) -> None:
    features = scattered(count, seed, width=3)
    features[:: max(2, count // 4)] = features[0]  # ties
    space = FeatureSpace(features)
    distances = np.sqrt(space.squared_rows(np.arange(count)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        reference = hdbscan.HDBSCAN(metric="precomputed", min_samples=MIN_SAMPLES).fit(distances)
    tree = reference.single_linkage_tree_.to_numpy()
    np.testing.assert_array_equal(single_linkage_tree(space)[:, 2:], tree[:, 2:])


def test_an_unclustered_patch_joins_the_cluster_of_its_nearest_clustered_one() -> None:
    features = unit(np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.8, 0.4]], dtype=np.float64))
    label = np.array([0, 0, 1, 1, -1], dtype=np.int32)
    assert nearest_cluster(FeatureSpace(features), label).tolist() == [0, 0, 1, 1, 0]


def test_the_default_cluster_size_grows_with_the_class() -> None:
    assert [default_min_cluster_size(n) for n in (1, 300, 1300, 6000)] == [5, 5, 8, 40]


def test_features_for_clusters_may_have_ragged_norms_of_half_precision() -> None:
    found = cluster(unit(np.random.default_rng(2).normal(size=(60, 7)) ** 3))
    assert len(found.label) == 60
