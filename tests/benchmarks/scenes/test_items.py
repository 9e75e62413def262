"""Reading the IDX files of Fashion-MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scenes.items import ITEM_PX, Items, read_items
from tests.idx_files import write_idx


@pytest.fixture
def items() -> Items:
    images = np.random.default_rng(5).integers(0, 256, size=(60, ITEM_PX, ITEM_PX), dtype=np.uint8)
    return Items(images, np.arange(60) % 10)


def test_items_are_read_as_they_were_written(items: Items, tmp_path: Path) -> None:
    write_idx(tmp_path, items)
    read = read_items("train", tmp_path)
    assert np.array_equal(read.images, items.images)
    assert np.array_equal(read.labels, items.labels)


def test_a_damaged_idx_file_is_refused(items: Items, tmp_path: Path) -> None:
    write_idx(tmp_path, items)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0" * 32))
    with pytest.raises(ValueError, match="not an IDX file"):
        read_items("train", tmp_path)


def test_items_of_some_classes_are_those_of_them_in_their_order(items: Items) -> None:
    own = items.of_classes([2, 7])
    assert own.labels.tolist() == [2, 7] * 6
    assert np.array_equal(own.images[1], items.images[7])
    assert items.between(3, 5).labels.tolist() == [3, 4]
