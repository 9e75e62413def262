"""Stores of earlier layouts: read, gone on with, and never misread."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selector.errors import StoreError
from selector.store import schema
from selector.store.commits import write_commit
from selector.store.fingerprint import LAYOUT
from selector.store.store import IMAGE_SCHEMA, Store
from tests.selector.store_writer import image_rows, vectors

FINGERPRINT = {"pipeline": "abc", "draws": 12}


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A store as layout 1 wrote it: no column for the windows of a race."""
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    rows = image_rows(0, 12, rows=3).drop_columns(["window_values"])
    write_commit(store.path / "images", "00000-r0", rows, vectors(0, 12, 4, 4, rows=3))
    content = json.loads((store.path / "store.json").read_text())
    assert content["layout"] == LAYOUT == 2
    (store.path / "store.json").write_text(json.dumps({**content, "layout": 1}))
    return store


def test_a_store_of_layout_1_is_read_as_one_round(old: Store) -> None:
    again = Store.open(old.path)
    rows, maps = again.read_images()
    assert rows.drop_columns(["shard", "round"]).schema.names == IMAGE_SCHEMA.names
    assert rows["window_values"].to_pylist() == [[], [], []]
    assert len(maps) == 3
    assert [image.draws for image in again.scored_images(0)] == [12] * 3
    assert len(again.image_records(["source", "draws"])) == 3


def test_the_full_grid_goes_on_in_a_store_of_layout_1_and_a_race_is_refused_by_its_field(old: Store) -> None:
    again = Store.create_or_open(old.path, FINGERPRINT)
    again.commit_images(1, 0, image_rows(1, 12, rows=2), vectors(1, 12, 4, 4, rows=2))
    assert again.read_images()[0].num_rows == 5
    with pytest.raises(StoreError, match="'race'"):
        Store.create_or_open(old.path, {**FINGERPRINT, "race": {"ends": [4, 12], "shares": [1.0, 0.5]}})


def test_a_layout_of_the_future_is_refused(old: Store) -> None:
    content = json.loads((old.path / "store.json").read_text())
    (old.path / "store.json").write_text(json.dumps({**content, "layout": 3}))
    with pytest.raises(StoreError, match="has layout 3, this version reads 1 and 2"):
        Store.open(old.path)


def test_any_other_missing_column_is_an_error() -> None:
    rows = image_rows(0, 12, rows=1)
    assert schema.conforming(rows.drop_columns(["window_values"]), IMAGE_SCHEMA).num_rows == 1
    with pytest.raises(ValueError, match="draws"):
        schema.conforming(rows.drop_columns(["draws"]), IMAGE_SCHEMA)


def test_decisions_of_a_race_come_back_by_round(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    assert store.read_races(1) == []
    store.write_race(1, 7, {"shards": [7], "last": {}})
    store.write_race(1, 0, {"shards": [0, 1], "last": {"3": [0.25, "ab"]}})
    store.write_race(2, 0, {"shards": [0], "last": {}})
    assert [decision["shards"] for decision in store.read_races(1)] == [[0, 1], [7]]
    (store.path / "races" / "r2-00000.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        store.read_races(2)
    assert np.float32(store.read_races(1)[0]["last"]["3"][0]) == np.float32(0.25)
