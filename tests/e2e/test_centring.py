"""Centred windows through the real server: scored, cut, described and reported where they were moved to."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selector.builtin import builtin_scenes
from selector.localisation.centring import centred, contrast
from selector.localisation.windows import box_means
from selector.records import Box
from selector.store.store import Store
from tests.e2e.command import manifest, picks, selector
from tests.selector.store_reader import read_images

pytestmark = pytest.mark.server

SETTINGS = ("--limit-per-class", 2, "--draws", 4)
EDGES = ("top", "left", "height", "width")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "out"
    selector("run", "--ipc", 2, *SETTINGS, "--centring", "none", "--out", out)
    return out


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("moved") / "out"
    selector("run", "--ipc", 2, *SETTINGS, "--centring", "contrast", "--out", out)
    return out


def boxes(out: Path) -> dict[str, Box]:
    return {pick["source"]: Box(*(pick[edge] for edge in EDGES)) for pick in picks(out, 2)}


def scene(source: str) -> np.ndarray:
    with tarfile.open(builtin_scenes()) as tar:
        file = tar.extractfile(source)
        assert file is not None
        return np.asarray(Image.open(file).convert("RGB"))


def test_every_window_is_the_grids_one_moved_onto_what_stands_out(plain: Path, moved: Path) -> None:
    before, after = boxes(plain), boxes(moved)
    assert after == {source: centred(contrast(scene(source)), box) for source, box in before.items()}
    assert sum(after[source] != box for source, box in before.items()) > len(before) / 2


def test_store_picks_and_images_agree_about_the_moved_window(moved: Path) -> None:
    store, after = Store.open(moved / "store"), boxes(moved)
    rows, maps = read_images(store)
    for record, delta in zip(rows.to_pylist(), maps, strict=True):
        canvas = Box(*(record[f"window_canvas_{edge}"][0] for edge in EDGES))
        assert canvas == after[record["source"]], "a scene is its own canvas"
        mean = float(box_means(np.asarray(delta, np.float32), canvas, 64))
        assert record["typicality"][0] == pytest.approx(mean, abs=2e-3 * np.abs(delta).max()), "the map is kept in fp16"
    for pick in picks(moved, 2):
        file = moved / "ipc-2" / "images" / pick["class_name"] / f"{pick['rank']:04d}_{pick['image_id']}.png"
        box = after[pick["source"]]
        cut = scene(pick["source"])[box.top : box.top + box.height, box.left : box.left + box.width]
        assert np.array_equal(np.asarray(Image.open(file).convert("RGB")), cut)
    assert manifest(moved, 2)["fingerprint"]["centring"] == "contrast"
    assert "moved onto what stands out in it" in (moved / "ipc-2" / "report.html").read_text()


def test_features_are_those_of_the_moved_window(plain: Path, moved: Path) -> None:
    """Where a window stayed they are the same, where it moved they are others."""
    before, after = Store.open(plain / "store").read_patches(), Store.open(moved / "store").read_patches()
    was, now = boxes(plain), boxes(moved)
    vectors = [dict(zip(table.source, np.asarray(table.features), strict=True)) for table in (before, after)]
    for source, box in was.items():
        assert np.array_equal(vectors[0][source], vectors[1][source]) == (box == now[source])


def test_a_store_of_one_kind_is_not_gone_on_with_by_the_other_and_the_field_is_named(plain: Path, moved: Path) -> None:
    refused = selector("run", "--ipc", 2, *SETTINGS, "--centring", "contrast", "--out", plain, code=5)
    assert "'centring' is \"(absent)\" there" in refused.stderr
    selector("run", "--ipc", 1, *SETTINGS, "--centring", "contrast", "--out", moved)
    assert manifest(moved, 1)["unet_rows"] == 0


def test_an_unknown_centring_is_a_usage_error(tmp_path: Path) -> None:
    refused = selector("run", "--ipc", 1, "--centring", "sharp", "--out", tmp_path, code=2)
    assert "--centring" in refused.stderr
