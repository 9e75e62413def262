"""Our own output among the data is neither an image nor a class."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from selector.images.datasets import list_items
from selector.images.listing import Listing
from tests.selector.images.test_listing import tarred, write

STORE = {
    "store.json": json.dumps({"layout": 3, "fingerprint": {}}).encode(),
    "data.json": b"{}",
    "server.log": b"I1",
    "images/00000.parquet": b"PAR1",
    "images/00000.npy": b"\x93NUMPY",
    "patches/00000.npy": b"\x93NUMPY",
    "orders/a.json": b"{}",
    f"history.{1:020d}.{'a' * 32}.json": b"{}",
    f"images/00000.{'b' * 32}.npy": b"\x93NUMPY",
    "work/images-00001": b"{}",
}
SELECTION = {
    "manifest.json": json.dumps({"selection": {}, "fingerprint": {}}).encode(),
    "selection.parquet": b"PAR1",
    "report.html": b"<html>",
    "images/cats/0000_a.png": b"",
}
EVALUATION = {
    "conditions.json": json.dumps({"teacher": "", "patches": "", "test": ""}).encode(),
    "runs/a.json": b"{}",
    "results.md": b"",
    "accuracy-whole-convnet-soft.svg": b"<svg>",
}
MODEL = {"config.pbtxt": b"name", "manifest.json": b"{}", "1/model.onnx": b""}
DATA = {"cats/1.png": b"", "dogs/1.png": b""}
KINDS = {"a store": STORE, "a selection": SELECTION, "an evaluation": EVALUATION, "a served model": MODEL}


def sources(listing: Listing) -> list[str]:
    return listing.sources.to_pylist()


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("place", ["x", "runs/demo/x", "cats/x", "cats/deep/er/x"])
@pytest.mark.parametrize("as_tar", [False, True], ids=["folder", "tar"])
def test_own_output_is_passed_by_wherever_it_lies(tmp_path: Path, kind: str, place: str, as_tar: bool) -> None:
    root = write(tmp_path / "data", DATA | {f"{place}/{name}": content for name, content in KINDS[kind].items()})
    listing = list_items(tarred(root) if as_tar else root)
    assert sources(listing) == sorted(DATA)
    assert listing.folders == ("cats", "dogs")
    assert [(one.source, one.reason) for one in listing.skipped] == [(place, f"our own output ({kind})")]
    assert listing.passed_over == ()


@pytest.mark.parametrize("name", ["runs", "store", "out"])
def test_a_class_of_that_name_stays_a_class_and_keeps_its_images(tmp_path: Path, name: str) -> None:
    files = {f"{name}/1.png": b"", f"{name}/more/2.png": b""}
    root = write(tmp_path / "data", DATA | files | {f"{name}/{inner}": content for inner, content in STORE.items()})
    listing = list_items(root, own=(root / name,))
    assert sources(listing) == sorted(DATA | files)
    assert listing.folders == tuple(sorted(("cats", "dogs", name)))


def test_files_of_that_name_with_another_content_are_no_store(tmp_path: Path) -> None:
    files = {
        "cats/store.json": b"{}",
        "cats/images/2.png": b"",
        "dogs/manifest.json": b"[",
        "dogs/selection.parquet": b"",
    }
    root = write(tmp_path / "data", DATA | files | {"dogs/images/3.png": b""})
    assert sources(list_items(root)) == ["cats/1.png", "cats/images/2.png", "dogs/1.png", "dogs/images/3.png"]


@pytest.mark.parametrize("left", [{"server.log": b"I"}, {"store.json.0a.tmp": b"", "images/x": b""}])
def test_a_store_that_was_only_begun_is_known_by_its_few_files(tmp_path: Path, left: dict[str, bytes]) -> None:
    root = write(tmp_path / "data", DATA | {f"runs/a/store/{name}": content for name, content in left.items()})
    listing = list_items(root)
    assert listing.folders == ("cats", "dogs")
    assert [one.source for one in listing.skipped] == ["runs/a/store"]


@pytest.mark.parametrize("made", ["out", "out/store", "out/.ipc-3.partial/images/cats"])
def test_the_place_of_the_running_command_is_no_class_before_anything_lies_there(tmp_path: Path, made: str) -> None:
    root = write(tmp_path / "data", DATA)
    (root / made).mkdir(parents=True)
    assert "out" in list_items(root).folders
    listing = list_items(root, own=(root / "out" / "store",))
    assert listing.folders == ("cats", "dogs")
    assert "out" in {one.source for one in listing.skipped}


def test_a_selection_may_be_the_data_of_another_run(tmp_path: Path) -> None:
    root = write(tmp_path / "ipc-3", SELECTION)
    assert sources(list_items(root)) == ["images/cats/0000_a.png"]
    assert sources(list_items(root / "images")) == ["cats/0000_a.png"]
    shutil.rmtree(root)


def test_a_store_in_the_data_itself_leaves_its_classes(tmp_path: Path) -> None:
    root = write(tmp_path / "data", DATA | STORE | {"outcomes.csv": b"source,status,reason\r\n"})
    listing = list_items(root)
    assert (sources(listing), listing.folders) == (sorted(DATA), ("cats", "dogs"))
    assert {one.source: one.reason for one in listing.skipped} == {
        ".": "our own output (a store)",
        "outcomes.csv": "our own output (the table of outcomes)",
    }
