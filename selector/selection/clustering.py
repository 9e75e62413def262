"""Clusters of one class's patches in the space of their diffusion features.

Up to MATRIX_LIMIT patches the tree is that of the exact distances (which is faster by far than hdbscan's default on raw
features, with the same result: docs/results/selection.md); above, the features are reduced to 50 principal components with
fixed signs and Borůvka's algorithm builds the tree. hdbscan's -1 is *unclustered* here. Clusters are numbered by size, largest
first. hdbscan and scikit-learn take 1.6 s to import, and where orders are kept nothing needs them: they are imported where
they are called.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.selection.distances import FeatureSpace

LARGEST_UNCLUSTERED = 0.5
"""Above this share of unclustered patches hdbscan's answer is not used."""

COMPONENTS = 50
MIN_SAMPLES = 1
"""hdbscan's smoothing of distances. With its own default, min_cluster_size, k-means took over in 5, 6 and 5 of the
10 classes of the measurement in `default_min_cluster_size`. Constant, it lets one tree serve every min_cluster_size."""

_KMEANS_STARTS = 4
_TREE_VERSION = f"1 hdbscan {version('hdbscan')}"


@dataclass(frozen=True)
class Clustering:
    """Clusters of n patches.

    label: int32 [n], -1 is unclustered. membership: float32 [n] in [0, 1], 0 where unclustered. method: "hdbscan",
    "kmeans", or "none" (one cluster, since nothing could be told apart). note: why hdbscan was not used, "" if it
    was. clusters: how many. unclustered: share of patches in [0, 1].
    """

    label: NDArray[np.int32]
    membership: NDArray[np.float32]
    method: str
    note: str
    clusters: int
    unclustered: float


def default_min_cluster_size(count: int) -> int:
    """The least patches that make a cluster in a class of `count`: one in 150, and at least 5.

    Measured with MIN_SAMPLES on principal components of scikit-learn's digits (180 per class) and of Fashion-MNIST
    (300, then 700): size 5 let k-means take over in 0, 1 and 2 of the 10 classes, 8 in 3, 1 and 4, 12 in 3, 4 and 3.
    """
    return max(5, count // 150)


def cluster_space(
    space: FeatureSpace, *, min_cluster_size: int | None = None, cache_dir: Path | None = None, seed: int = 0
) -> Clustering:
    """Clusters of the patches of a space, rows sorted by id (by the caller: ties follow row order).

    Fewer than two clusters, or more than half of the patches unclustered, and k-means takes over, seeded by `seed`;
    the note says so. The same rows give the same answer; the number of threads could change it only where k-means,
    or the components above the matrix limit, meet a tie within float64's rounding. With cache_dir the tree of a class
    above that limit is kept there as .npy, under a hash of features and parameters; one that can't be read is grown
    again.
    """
    count = len(space)
    size = min_cluster_size if min_cluster_size is not None else default_min_cluster_size(count)
    if count < 2 * size or not space.squared(0).any():
        return kmeans_space(space, f"{count} patches can't hold two clusters of {size}", seed)
    label, membership = _labels_of_tree(_tree(space, cache_dir), size)
    clusters = int(label.max()) + 1
    unclustered = float(np.mean(label < 0))
    if clusters < 2:
        return kmeans_space(space, f"hdbscan found {clusters or 'no'} cluster of at least {size} patches", seed)
    if unclustered > LARGEST_UNCLUSTERED:
        return kmeans_space(space, f"hdbscan left {unclustered:.0%} of the patches unclustered", seed)
    return Clustering(_by_size(label), membership, "hdbscan", "", clusters, unclustered)


def kmeans_space(space: FeatureSpace, note: str, seed: int) -> Clustering:
    """√(n/2) clusters by k-means, four starts from the seed; one cluster if fewer than two can be told apart.

    note: why it is taken. Membership is 1 at a cluster's mean and 0 where another mean is as near.
    """
    count = len(space)
    if count == 0 or not space.squared(0).any():
        note = f"all {count} patches have the same features" if count > 1 else ""
        return _one_cluster(count, note)
    k = min(round(np.sqrt(count / 2)), space.distinct())
    if k < 2:
        return _one_cluster(count, note)
    from sklearn.cluster import KMeans

    fitted = KMeans(n_clusters=k, n_init=_KMEANS_STARTS, random_state=seed, algorithm="lloyd").fit(space.points)
    label = _by_size(fitted.labels_.astype(np.int32))
    return Clustering(label, _closeness(space.points, label), "kmeans", note, int(label.max()) + 1, 0.0)


def _closeness(points: NDArray[np.float64], label: NDArray[np.int32]) -> NDArray[np.float32]:
    """float32 [n]: 1 − distance to the own cluster's mean / distance to the nearest other one's, at least 0.

    Computed from the labels alone: scikit-learn's own centres differ in their last bits with the number of threads.
    """
    means = np.stack([points[label == number].mean(axis=0) for number in range(int(label.max()) + 1)])
    distance = np.sqrt(np.stack([((points - mean) ** 2).sum(axis=1) for mean in means]))
    rows = np.arange(len(points))
    own = distance[label, rows]
    distance[label, rows] = np.inf
    other = distance.min(axis=0)
    share = np.divide(own, other, out=np.ones_like(own), where=other > 0)
    closeness: NDArray[np.float32] = np.clip(1.0 - share, 0.0, 1.0).astype(np.float32)
    return closeness


def nearest_cluster(space: FeatureSpace, label: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32 [n]: the label of each patch; for an unclustered one that of its nearest clustered patch (ties: first row)."""
    filled = label.copy()
    clustered = np.flatnonzero(label >= 0)
    loose = np.flatnonzero(label < 0)
    if len(clustered) and len(loose):
        for block in np.array_split(loose, max(1, len(loose) // 512)):
            filled[block] = label[clustered[np.argmin(space.squared_rows(block)[:, clustered], axis=1)]]
    return filled


def _one_cluster(count: int, note: str) -> Clustering:
    return Clustering(
        np.zeros(count, dtype=np.int32), np.ones(count, dtype=np.float32), "none", note, min(count, 1), 0.0
    )


def _tree(space: FeatureSpace, cache_dir: Path | None) -> NDArray[np.float64]:
    """hdbscan's single-linkage tree [n - 1, 4]; one that was dear to grow, hence above the matrix limit, is cached.

    Below, growing it (6 ms for 1,300 patches) costs less than the hash of its features.
    """
    if space.holds_matrix or cache_dir is None:
        return single_linkage_tree(space)
    kind = f"{_TREE_VERSION} min_samples {MIN_SAMPLES} components {COMPONENTS}"
    key = hashlib.blake2b(kind.encode(), digest_size=16)
    key.update(repr(space.points.shape).encode())
    key.update(space.points.astype(np.float16).tobytes())
    path = cache_dir / f"tree-{key.hexdigest()}.npy"
    kept = _read_tree(path, len(space))
    if kept is not None:
        return kept
    tree = single_linkage_tree(space)
    _keep_tree(path, tree)
    return tree


def _keep_tree(path: Path, tree: NDArray[np.float64]) -> None:
    """Writes the tree, whole or not at all; a full disk costs no more than the time to make it again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix="tree-", suffix=".partial", delete=False) as partial:
            try:
                np.save(partial, tree)
                partial.flush()
                Path(partial.name).replace(path)
            except OSError:
                Path(partial.name).unlink(missing_ok=True)
                raise


def _read_tree(path: Path, count: int) -> NDArray[np.float64] | None:
    """The cached tree of `count` patches; None if there is none, or if the file is damaged: a cache may be lost."""
    try:
        tree: NDArray[np.float64] = np.load(path, allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return tree if tree.shape == (count - 1, 4) and tree.dtype == np.float64 else None


def single_linkage_tree(space: FeatureSpace) -> NDArray[np.float64]:
    """hdbscan's single-linkage tree.

    With MIN_SAMPLES = 1 a patch's core distance is that to its nearest other one, which no distance of the patch is
    below: mutual reachability *is* the distance, and the tree is plain single linkage (0.02 s per 1,300 patches less).
    Squared distances are multiples of 2**-48, so that their roots tie only where they do.
    """
    if space.holds_matrix:
        from scipy.cluster.hierarchy import linkage

        tree: NDArray[np.float64] = linkage(space.pairs(), "single")
        tree[:, 2] = np.sqrt(tree[:, 2])
        return tree
    import hdbscan

    with warnings.catch_warnings():
        # hdbscan 0.8 passes scikit-learn a keyword that it has renamed.
        warnings.filterwarnings("ignore", message="'force_all_finite' was renamed", category=FutureWarning)
        search = hdbscan.HDBSCAN(
            algorithm="boruvka_kdtree",
            min_samples=MIN_SAMPLES,
            approx_min_span_tree=False,
            core_dist_n_jobs=1,
        )
        search.fit(principal_components(space.points, COMPONENTS))
    grown: NDArray[np.float64] = search.single_linkage_tree_.to_numpy()
    return grown


def principal_components(points: NDArray[np.float64], components: int) -> NDArray[np.float64]:
    """float64 [n, min(components, F)]: points [n, F] on their first principal axes.

    The sign of an axis is free in theory; here its entry of largest size is positive. Coordinates are rounded to
    2**-16, far below the features' own precision, so that a BLAS which adds in another order gives the same ones.
    """
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = axes[:, ::-1][:, :components]
    largest = kept[np.argmax(np.abs(kept), axis=0), np.arange(kept.shape[1])]
    projected: NDArray[np.float64] = np.round(centred @ (kept * np.where(largest < 0, -1.0, 1.0)) * 2**16) / 2**16
    return projected


def _labels_of_tree(tree: NDArray[np.float64], size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The package's own step from a tree to labels, which has no public name; memberships are 0 where unclustered."""
    from hdbscan.hdbscan_ import _tree_to_labels

    label, probability, *_ = _tree_to_labels(None, tree, min_cluster_size=size)
    membership = np.clip(np.nan_to_num(probability, nan=1.0), 0.0, 1.0)
    return np.asarray(label, dtype=np.int32), np.where(label < 0, 0.0, membership).astype(np.float32)


def _by_size(label: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same clusters numbered by size, largest first; of equal ones the one that holds the earlier row first."""
    names, first, counts = np.unique(label[label >= 0], return_index=True, return_counts=True)
    number = np.full(int(label.max()) + 2, -1, dtype=np.int32)  # the last entry answers for label -1
    number[names[np.lexsort((first, -counts))]] = np.arange(len(names), dtype=np.int32)
    return number[label]
