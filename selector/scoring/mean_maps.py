"""The mean delta maps of images, as a store holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.images.listing import rows_in
from selector.store.store import Store


def mean_maps(store: Store, sources: Collection[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.float16]]]:
    """Of each source, in the order given, its record of stage I and its map, float16 [h, w].

    Raises StoreError for damage, KeyError for a source that was never scored.
    """
    table = store.images("source", "shard", "row")
    wanted = list(sources)
    rows = rows_in(table["source"], pa.array(wanted, pa.string()))
    for source, row in zip(wanted, rows.tolist(), strict=True):
        if row < 0:
            raise KeyError(source)
    placed = table.select(["shard", "row"]).take(pa.array(rows)).to_pylist()
    for place in placed:
        yield store.image_record(place["shard"], place["row"])
