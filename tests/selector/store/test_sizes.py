"""Sizes of scored images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from selector.store.schema import IMAGE_SCHEMA
from selector.store.sizes import image_sizes
from selector.store.store import Store
from tests.selector.store_writer import image_rows, vectors


def with_size(shard: int, height: int, width: int, sources: list[str]) -> pa.Table:
    rows = image_rows(shard, 1, len(sources))
    for name, values in (("height", [height] * len(sources)), ("width", [width] * len(sources)), ("source", sources)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    return rows.cast(IMAGE_SCHEMA)


def test_sizes_are_those_of_the_last_scoring_and_of_the_images_asked_for(tmp_path: Path) -> None:
    for folder in ("images", "patches"):
        (tmp_path / folder).mkdir()
    store = Store(tmp_path, {})
    for shard, height, sources in ((0, 60, ["a/1", "a/2"]), (1, 61, ["a/3"]), (12, 70, ["a/1"])):
        maps = np.asarray(vectors(shard, 1, 4, 4, rows=len(sources)))
        store.commit_images(shard, with_size(shard, height, 80, sources), maps)
    assert image_sizes(store, ["a/1", "a/3", "a/1", "nowhere"]) == {"a/1": (70, 80), "a/3": (61, 80)}
    assert image_sizes(store, []) == {}
