"""The measurement of further selections from one store, and its figure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks.selection.one_step import main
from benchmarks.selection.one_step_figure import figure
from tests.evaluation_data import write_data, write_store

SVG = "{http://www.w3.org/2000/svg}"
MEASURED: dict[str, Any] = {
    "images": 3000,
    "classes": 10,
    "scoring_seconds": 100.0,
    "unet_rows": 72000,
    "unet_rows_in_store": 72000,
    "open_seconds": 1.0,
    "first_selection_seconds": 10.0,
    "selection_seconds_by_ipc": {"1": 0.01, "10": 0.1},
}


def test_every_budget_is_timed_and_picks_nest(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", write_data(tmp_path / "data.tar", 12, seed=1))
    drawing = tmp_path / "figure.svg"
    done = CliRunner().invoke(
        main, ["--store", str(store), "--ipc", "9,1,4", "--figure", str(drawing)], catch_exceptions=False
    )
    found = json.loads(done.stdout)
    assert list(found["selection_seconds_by_ipc"]) == ["1", "4", "9"]
    assert found["nested"] is True
    assert found["images"] == 36
    assert found["unet_rows_in_store"] == 2 * 4 * 36
    assert "IPC 9" in drawing.read_text()
    assert not (store / "orders").exists()


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_bars_grow_by_the_same_length_for_every_factor_of_ten() -> None:
    drawn = ElementTree.fromstring(figure(MEASURED))
    lengths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect")][1:]
    scoring, first, opening, small, large = lengths
    assert scoring - first == pytest.approx(first - opening, abs=0.2)
    assert opening - large == pytest.approx(scoring - first, abs=0.2)
    assert large > small
    assert scoring < float(re.findall(r'viewBox="0 0 (\d+)', figure(MEASURED))[0])


def test_every_bar_is_named_and_says_its_seconds() -> None:
    said = texts(figure(MEASURED))
    for words in ("scoring, once", "opening the store", "IPC 1", "IPC 10", "0.01 s", "100 s"):
        assert words in said
    assert any("3,000 images of 10 classes" in text for text in said)


def test_a_scoring_that_was_recorded_in_part_says_so() -> None:
    assert "scoring, once, 36,000 of 72,000 UNet rows" in texts(figure({**MEASURED, "unet_rows": 36000}))
