"""Facts of scored images, looked up by source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from selector.store.schema import IMAGE_SCHEMA
from selector.store.store import Store
from selector.store.view import ScoredImages
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
    found = ScoredImages(store.images("source", "image_id", "height", "width", "shard", "row")).rows(
        ["a/1", "a/3", "a/1"]
    )
    assert found["height"].to_pylist() == [70, 61, 70]
    assert found["width"].to_pylist() == [80, 80, 80]
    assert found["shard"].to_pylist() == [12, 1, 12]


def test_an_image_that_gave_no_patch_is_named(tmp_path: Path) -> None:
    rows = with_size(0, 60, 80, ["a/1"]).append_column("shard", pa.array([0])).append_column("row", pa.array([0]))
    with pytest.raises(KeyError, match="a/2"):
        ScoredImages(rows).rows(["a/1", "a/2"])
