"""Which files still have their result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from selector.images import readers
from selector.images.datasets import list_items
from selector.scoring.remaining import failed_features, settled
from selector.store.schema import PATCH_SCHEMA
from selector.store.store import Store
from tests.selector.store_writer import image_rows, patch_rows, vectors


def test_a_scored_file_that_became_unusable_is_looked_at_again_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.create_or_open(tmp_path / "store", {"of": "a test"})
    store.commit_images(0, image_rows(0, 1, rows=2), vectors(0, 1, 4, 4, rows=2))
    (tmp_path / "data" / "0").mkdir(parents=True)
    (tmp_path / "data" / "0" / "0.png").write_bytes(b"far too large")
    (tmp_path / "data" / "0" / "1.png").symlink_to("nowhere")
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", 4)
    listing = list_items(tmp_path / "data")
    assert settled(store, listing, retry_failed=False).tolist() == [True, True]
    assert settled(store, listing, retry_failed=True).tolist() == [False, True], "the second is only away"


def test_images_whose_features_failed_are_named(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "store", {"of": "a test"})
    store.commit_images(0, image_rows(0, 1, rows=3), vectors(0, 1, 4, 4, rows=3))
    images, patches = store.images().to_pylist(), patch_rows(0, 1, rows=2).to_pylist()
    for patch, image, status in zip(patches, images, ("ok", "failed"), strict=False):
        patch.update(
            source=image["source"], image_id=image["image_id"], status=status, reason="" if status == "ok" else "NaN"
        )
    store.commit_patches(0, pa.Table.from_pylist(patches, PATCH_SCHEMA), np.ones((2, 3), np.float16))
    assert failed_features(store).to_pylist() == [images[1]["source"]]
