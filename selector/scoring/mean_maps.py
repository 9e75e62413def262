"""The mean delta maps of images, as a store holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.store.store import Store
from selector.store.view import StoreView


def mean_maps(view: StoreView, sources: Iterable[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.float16]]]:
    """Of each source, in the order given, its record of stage I and its map, float16 [h, w].

    Raises StoreError for damage, KeyError for a source that gave no patch.
    """
    store = Store.open(view.store)
    for place in view.scored.rows(sources).select(["shard", "row"]).to_pylist():
        yield store.image_record(place["shard"], place["row"])
