"""Orders: strategies that put one class's patches into one total order, of which IPC N takes the first N.

Owns the interface and the list of candidates for the default. Must not know of IPC, files or classes' names.

Every strategy sees its rows sorted by (image_id, patch_rank), so permuted input gives the same picks, and takes an
image's best patch before any image's second one. Ties go to the first row in that order.
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
from selector.selection.cluster_order import Clusters
from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace
from selector.selection.greedy import FacilityLocation, herding, typicality
from selector.selection.pool import Pool, Ranking

DEFAULT_ORDER = "clusters"


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
        pool = Pool(FeatureSpace(features[by_id]), typicality[by_id].astype(np.float64), patch_rank[by_id] == 0, seed)
        rows, clustering = self.ranking(pool)
        return _as_they_came(by_id, rows, clustering)


def cluster_order(cache_dir: Path | None = None, min_cluster_size: int | None = None) -> Order:
    """The default order, with its trees kept in cache_dir."""
    return SortedOrder(Clusters(min_cluster_size=min_cluster_size, cache_dir=cache_dir))


ORDERS: Mapping[str, Order] = MappingProxyType(
    {
        DEFAULT_ORDER: cluster_order(),
        "herding": SortedOrder(herding),
        "facility-location": SortedOrder(FacilityLocation()),
        "typicality": SortedOrder(typicality),
    }
)


def _as_they_came(by_id: NDArray[np.int64], rows: NDArray[np.int64], clustering: Clustering | None) -> ClassOrder:
    """The ranked rows of the sorted pool as row numbers of the caller; without a clustering all are unclustered."""
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
