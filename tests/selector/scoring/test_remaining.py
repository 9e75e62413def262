"""Which files still have their result."""

from __future__ import annotations

from pathlib import Path

import pytest

from selector.images import readers
from selector.scoring.remaining import settled
from selector.store.store import Store
from tests.selector.store_writer import image_rows, vectors


def test_a_scored_file_that_became_unusable_is_looked_at_again_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.create_or_open(tmp_path / "store", {"of": "a test"})
    store.commit_images(0, image_rows(0, 1, rows=2), vectors(0, 1, 4, 4, rows=2))
    (tmp_path / "data" / "0").mkdir(parents=True)
    (tmp_path / "data" / "0" / "0.png").write_bytes(b"far too large")
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", 4)
    listed = {"0/0.png", "0/1.png"}
    assert settled(store, tmp_path / "data", listed, retry_failed=False) == listed
    assert settled(store, tmp_path / "data", listed, retry_failed=True) == {"0/1.png"}, "the second is only away"
