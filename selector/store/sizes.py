"""How large scored images are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from selector.images.listing import rows_in
from selector.store.store import Store


def image_sizes(store: Store, sources: Iterable[str]) -> dict[str, tuple[int, int]]:
    """source → (height, width) in pixels, after EXIF rotation, of these images as far as they were scored."""
    images = store.images("source", "height", "width")
    rows = np.unique(rows_in(images["source"], pa.array(list(sources), pa.string())))
    columns = images.take(pa.array(rows[rows >= 0])).to_pydict()
    return dict(zip(columns["source"], zip(columns["height"], columns["width"], strict=True), strict=True))
