"""Orders: strategies that put one class's patches into one total order, of which IPC N takes the first N.

Every strategy sees its rows sorted by (image_id, patch_rank), so permuted input gives the same picks, and takes images'
best patches first, then those of them that are near-duplicates of a more typical one, then further patches. Ties go to
the first row in that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.records import ClassOrder, Features
from selector.selection.class_patches import ClassPatches, Ranking
from selector.selection.cluster_order import Clusters, WithClusters
from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace
from selector.selection.facility_location import FacilityLocation
from selector.selection.greedy import herding, typicality

DEFAULT_ORDER = "herding"


class Order(Protocol):
    """A strategy: columns of n patches of one class, in any order of rows → the total order of them all.

    features: float16 [n, F], L2-normalised. typicality: float32 [n]. image_id: <U16 [n]. patch_rank: int32 [n], 0 for
    an image's best window. seed: 0 <= seed < 2**32, for what is random in a strategy. Raises SelectorError for values
    that are not finite.
    """

    def __call__(
        self,
        features: Features,
        typicality: NDArray[np.float32],
        image_id: NDArray[np.str_],
        patch_rank: NDArray[np.int32],
        seed: int,
    ) -> ClassOrder: ...


@dataclass(frozen=True)
class SortedOrder:
    """The Order made of a ranking: sorts the rows by id, ranks them, and answers in the row numbers that came."""

    ranking: Ranking

    def __call__(
        self,
        features: Features,
        typicality: NDArray[np.float32],
        image_id: NDArray[np.str_],
        patch_rank: NDArray[np.int32],
        seed: int,
    ) -> ClassOrder:
        lengths = [len(features), len(typicality), len(image_id), len(patch_rank)]
        if len(set(lengths)) > 1:
            raise SelectorError(f"features, typicality, image_id and patch_rank must be equally long, got {lengths}")
        if not np.isfinite(typicality).all():
            raise SelectorError(f"{int((~np.isfinite(typicality)).sum())} patches have a typicality that is not finite")
        by_id = np.lexsort((patch_rank, image_id))
        patches = ClassPatches(
            FeatureSpace(features[by_id]), typicality[by_id].astype(np.float64), patch_rank[by_id] == 0, seed
        )
        rows, clustering = self.ranking(patches)
        return _as_they_came(by_id, rows, clustering)


def orders(tree_folder: Path | None = None) -> Mapping[str, Order]:
    """The candidates for the default by name; all record the class's clusters.

    tree_folder: where the trees of large classes are kept.
    """
    return MappingProxyType(
        {
            "herding": SortedOrder(WithClusters(herding, tree_folder)),
            "facility-location": SortedOrder(WithClusters(FacilityLocation(), tree_folder)),
            "clusters": SortedOrder(Clusters(cache_dir=tree_folder)),
            "typicality": SortedOrder(WithClusters(typicality, tree_folder)),
        }
    )


ORDERS = orders()


def _as_they_came(by_id: NDArray[np.int64], rows: NDArray[np.int64], clustering: Clustering | None) -> ClassOrder:
    """The ranked rows of the sorted patches as row numbers of the caller; without a clustering all are unclustered."""
    count = len(by_id)
    label, membership = np.full(count, -1, dtype=np.int32), np.zeros(count, dtype=np.float32)
    if clustering is None:
        return ClassOrder(by_id[rows], label, membership, 0, 1.0 if count else 0.0, "none")
    label[by_id], membership[by_id] = clustering.label, clustering.membership
    return ClassOrder(
        permutation=by_id[rows],
        cluster_label=label,
        membership=membership,
        clusters=clustering.clusters,
        unclustered=clustering.unclustered,
        method=clustering.method,
        note=clustering.note,
    )
