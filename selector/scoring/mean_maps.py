"""The mean delta maps of images, as a store holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.store.store import Store


def mean_maps(store: Store, sources: Collection[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.float16]]]:
    """Of each source, in the order given, its record of stage I and its map, float16 [h, w].

    Raises StoreError for damage, KeyError for a source that was never scored.
    """
    table, maps = store.read_images()
    row_of = {source: row for row, source in enumerate(table["source"].to_pylist())}
    for source in sources:
        row = row_of[source]
        yield table.slice(row, 1).to_pylist()[0], maps[row]
