"""The tar of scenes: deterministic, complete, and read back as it was written."""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.scenes.generator import make_scenes
from benchmarks.scenes.items import ITEM_PX, Items
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.tar import read_tar, write_tar


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    images = np.random.default_rng(5).integers(100, 200, size=(20, ITEM_PX, ITEM_PX), dtype=np.uint8)
    return make_scenes(Items(images, np.arange(20) % 10), 4, seed=3)


def test_the_tar_is_the_same_every_time_and_gives_the_scenes_back(scenes: Scenes, tmp_path: Path) -> None:
    write_tar(scenes, tmp_path / "a.tar")
    write_tar(scenes, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        rows = list(csv.DictReader(io.TextIOWrapper(tar.extractfile("boxes.csv"), "utf-8")))  # type: ignore[arg-type]
        pixels = np.asarray(Image.open(tar.extractfile("dress/00001.png")))  # type: ignore[arg-type]
    assert names == sorted(names)
    assert sorted(row["path"] for row in rows) == sorted(name for name in names if name.endswith(".png"))
    index = 3 * 4 + 1  # class 3, second scene
    row = next(row for row in rows if row["path"] == "dress/00001.png")
    assert np.array_equal(pixels, scenes.images[index])
    box = [int(row[key]) for key in ("top", "left", "height", "width", "decoy")]
    assert box == [scenes.tops[index], scenes.lefts[index], ITEM_PX, ITEM_PX, 1]


def test_reading_gives_the_scenes_that_were_written(scenes: Scenes, tmp_path: Path) -> None:
    write_tar(scenes, tmp_path / "a.tar")
    for written, read in zip(astuple(scenes), astuple(read_tar(tmp_path / "a.tar")), strict=True):
        assert np.array_equal(written, read)
