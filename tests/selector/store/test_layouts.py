"""Stores of another layout are never misread."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selector.errors import StoreError
from selector.store import schema
from selector.store.commits import write_commit
from selector.store.fingerprint import LAYOUT
from selector.store.schema import IMAGE_SCHEMA
from selector.store.store import Store
from tests.selector.store_reader import read_images
from tests.selector.store_writer import image_rows, vectors

FINGERPRINT = {"pipeline": "abc", "draws": 12}
ADDED = ["assigned_margin", "assigned_standard_error", "assigned_unet_rows"]


@pytest.mark.parametrize("layout", [LAYOUT - 1, LAYOUT + 1, None])
def test_another_layout_is_refused_with_the_remedy(tmp_path: Path, layout: int | None) -> None:
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    content = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps({**content, "layout": layout}))
    for opening in (Store.open, lambda path: Store.create_or_open(path, FINGERPRINT)):
        with pytest.raises(StoreError, match=f"layout {layout!r}, this version reads layout {LAYOUT}: score again"):
            opening(store.path)


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="draws"):
        schema.conforming(image_rows(0, 12, rows=1).drop_columns(["draws"]), IMAGE_SCHEMA)


def test_a_store_from_before_the_model_chose_classes_reads_as_labelled(tmp_path: Path) -> None:
    """What it wrote then: rows without the later columns."""
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    older = image_rows(0, 12, rows=2).drop_columns(ADDED)
    write_commit(store.path / "images", "00000", older, vectors(0, 12, 4, 4, rows=2))
    store.commit_images(1, image_rows(1, 12, rows=2), vectors(1, 12, 4, 4, rows=2))
    table, _ = read_images(Store.open(store.path))
    assert table.drop(["shard"]).to_pylist() == [*image_rows(0, 12, 2).to_pylist(), *image_rows(1, 12, 2).to_pylist()]
    assert all(table[name].null_count == 4 for name in ADDED)
    assert len(store.scored_images(0)) == 2


@pytest.mark.parametrize(
    ("first", "then", "remedy"), [(False, True, "leave --unlabelled out"), (True, False, "add --unl")]
)
def test_a_labelled_store_and_an_unlabelled_one_differ_before_anything_else(
    tmp_path: Path, first: bool, then: bool, remedy: str
) -> None:
    marks = [FINGERPRINT | ({"assign_draws": 4} if unlabelled else {}) for unlabelled in (first, then)]
    Store.create_or_open(tmp_path / "store", marks[0])
    with pytest.raises(StoreError, match=f"{remedy}.*, or use another store"):
        Store.create_or_open(tmp_path / "store", marks[1] | {"draws": 2})
