"""Stores of another layout are never misread."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selector.errors import StoreError
from selector.store import schema
from selector.store.fingerprint import LAYOUT
from selector.store.schema import IMAGE_SCHEMA
from selector.store.store import Store
from tests.selector.store_writer import image_rows

FINGERPRINT = {"pipeline": "abc", "draws": 12}


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
