"""What is handed out of a real store: formats, whole images, and a conversion where neither store nor data are left."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.e2e.command import manifest, picks, selector
from tests.e2e.scenes import some_scenes

pytestmark = pytest.mark.server

EVERY = "imagefolder,webdataset,parquet,list,coco,croissant"
CLASSES = ("sandal", "bag")
SIZE_ON_DISK = (100, 140)
"""Height and width of the images as their files have them; by EXIF they are to be turned."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four lying scenes of two classes, whose EXIF says that they stand."""
    folder = some_scenes(tmp_path_factory.mktemp("lying"), CLASSES, 4)
    for path in sorted(folder.rglob("*.png")):
        exif = Image.Exif()
        exif[0x0112] = 6
        with Image.open(path) as scene:
            scene.convert("RGB").resize(SIZE_ON_DISK[::-1]).save(path.with_suffix(".jpg"), quality=98, exif=exif)
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def out(data: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run on them that hands out whole images in every format. Do not write into it."""
    folder = tmp_path_factory.mktemp("out")
    selector("run", data, "--ipc", 3, "--server", server, "--out", folder, "--take", "image", "--export", EVERY)
    return folder


def upright(data: Path, source: str) -> np.ndarray[Any, Any]:
    with Image.open(data / source) as picture:
        return np.asarray(picture.transpose(Image.Transpose.ROTATE_270))


def files(folder: Path) -> dict[str, bytes]:
    """All but what tells of times."""
    told = {"manifest.json", "report.html"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in told
    }


def test_whole_images_are_handed_out_upright_with_their_sizes(data: Path, out: Path) -> None:
    rows = picks(out, 3)
    assert len(rows) == 6 == manifest(out, 3)["counts"]["handed_out"]
    for row in rows:
        assert (row["image_height"], row["image_width"]) == SIZE_ON_DISK[::-1]
        assert row["class_folder"] == row["class_key"] == row["source"].partition("/")[0]
        (path,) = (out / "ipc-3" / "images" / row["class_key"]).glob(f"*{row['image_id']}.png")
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), upright(data, row["source"]))
    coco = json.loads((out / "ipc-3" / "coco" / "annotations.json").read_text())
    assert {(one["height"], one["width"]) for one in coco["images"]} == {SIZE_ON_DISK[::-1]}
    assert pq.read_table(out / "ipc-3" / "parquet").num_rows == 6


def test_the_report_can_be_written_again_and_shows_the_windows(out: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    page = (again / "ipc-3" / "report.html").read_text()
    assert "the whole images of the windows" in page
    selector("report", "--store", again / "store", "--ipc", 3, "--out", again)
    written = (again / "ipc-3" / "report.html").read_text()
    assert re.findall('data-source="([^"]*)"', written) == re.findall('data-source="([^"]*)"', page)
    assert "the whole images of the windows" in written


def test_another_selection_of_the_store_hands_out_windows(out: Path, tmp_path: Path) -> None:
    selector("select", "--store", out / "store", "--ipc", 3, "--out", tmp_path, "--size", 24)
    assert picks(tmp_path, 3) == picks(out, 3), "what is handed out has no part in what is chosen"
    for path in (tmp_path / "ipc-3" / "images").rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.size == (24, 24)


def test_a_conversion_needs_neither_the_store_nor_the_data(out: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    selector("select", "--store", out / "store", "--ipc", 3, "--out", alone, "--take", "image")
    moved = tmp_path / "elsewhere" / "my picks"
    moved.parent.mkdir()
    (alone / "ipc-3").rename(moved)
    done = selector("convert", moved, "--export", "webdataset,parquet,list,coco", "--json")
    assert json.loads(done.stdout)["handed_out"] == 6
    expected = files(out / "ipc-3")
    del expected["croissant.json"]
    assert files(moved) == expected
    assert (moved / "report.html").is_file()


def test_further_windows_of_an_image_give_it_no_second_place(out: Path, tmp_path: Path) -> None:
    store = ("--store", out / "store", "--on-short", "patches")
    done = selector("select", *store, "--ipc", 6, "--out", tmp_path, "--take", "image", "--export", "list")
    stated = manifest(tmp_path, 6)
    assert (stated["counts"]["picked"], stated["counts"]["handed_out"]) == (12, 8)
    assert "4 picks are further windows of images that are handed out already" in done.stderr
    lines = (tmp_path / "ipc-6" / "list" / "picks.csv").read_text().splitlines()
    assert len(lines) == 1 + 8 == 1 + len({line.partition(",")[0] for line in lines[1:]})
    assert not (tmp_path / "ipc-6" / "images").exists()


def test_our_own_formats_within_the_data_are_no_images(data: Path, out: Path, server: str, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(data, both)
    shutil.copytree(out / "ipc-3", both / "sandal" / "ipc-3")
    selector("run", both, "--ipc", 3, "--server", server, "--out", tmp_path / "out")
    stated = manifest(tmp_path / "out", 3)
    assert stated["counts"]["seen"] == 8
    assert stated["counts"]["passed_over"] == 0
