"""Windows of several sizes through the real server: scored, cut, reported, and gone on with offline."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.command import manifest, picks, selector

pytestmark = pytest.mark.server

SIDES = {20, 28, 36}
SETTINGS = ("--limit-per-class", 1, "--draws", 4, "--patches-per-image", 2, "--patch-fraction", "0.3125,0.4375,0.5625")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scales") / "out"
    selector("run", "--ipc", 2, *SETTINGS, "--out", folder)
    return folder


def overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    rows = min(a["top"] + a["height"], b["top"] + b["height"]) - max(a["top"], b["top"])
    return rows > 0 and min(a["left"] + a["width"], b["left"] + b["width"]) > max(a["left"], b["left"])


def test_windows_of_an_image_have_sizes_of_their_own_and_are_cut_at_them(out: Path) -> None:
    chosen = picks(out, 2)
    assert len({pick["height"] for pick in chosen}) > 1
    assert {pick["height"] for pick in chosen} <= SIDES
    assert not any(overlap(a, b) for a, b in combinations(chosen, 2) if a["source"] == b["source"])
    for pick in chosen:
        file = out / "ipc-2" / "images" / pick["class_name"] / f"{pick['rank']:04d}_{pick['image_id']}.png"
        assert np.asarray(Image.open(file)).shape[:2] == (pick["height"], pick["width"])
    assert manifest(out, 2)["fingerprint"]["scales"] == sorted(SIDES)
    assert "20, 28, 36 of 64 px" in (out / "ipc-2" / "report.html").read_text()


def test_images_that_run_short_give_further_windows_of_these_sizes_offline(out: Path) -> None:
    selector("select", "--store", out / "store", "--ipc", 3, "--on-short", "patches", "--out", out)
    chosen = picks(out, 3)
    assert len(chosen) == 30
    assert {pick["height"] for pick in chosen} <= SIDES
    assert not any(overlap(a, b) for a, b in combinations(chosen, 2) if a["source"] == b["source"])
