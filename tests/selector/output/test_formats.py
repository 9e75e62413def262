"""Every format is read back by the library that people read it with, offline, and compared with selection.parquet and crops."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest

from selector.config import EXPORTS
from selector.output.classes import output_classes
from selector.output.formats import EXPORTERS
from selector.output.formats import parquet as parquet_format
from selector.output.formats import webdataset as webdataset_format
from selector.output.formats.parquet import schema
from tests.selector.output.hostile import KEYS, NAMES, PER_CLASS, by_place, iterated, label, write_hostile
from tests.selector.output.written import contents, original, pixels_of, rows_of


def test_every_format_that_the_command_offers_has_its_exporter() -> None:
    assert tuple(EXPORTERS) == EXPORTS


@pytest.mark.parametrize("class_folders", ["name", "source", "index"])
def test_datasets_loads_the_folders_of_pictures(class_folders: str, datasets: ModuleType, tmp_path: Path) -> None:
    folder = write_hostile(tmp_path / "out", formats=("imagefolder",), class_folders=class_folders)
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder / "images"), split="train", cache_dir=tmp_path / "cache"
    )
    called = ["" if name == "%" else unquote(name) for name in loaded.features["label"].names]
    expected = {
        "name": sorted(KEYS.values()),
        "source": [f"class{number}" for number in sorted(map(str, KEYS))],
        "index": [f"{number:05d}" for number in KEYS],
    }
    assert sorted(called) == expected[class_folders]
    picks = {(row["rank"], row["image_id"]): row for row in rows_of(folder)}
    assert len(loaded) == len(picks) == PER_CLASS * len(KEYS)
    for item, path in zip(loaded, loaded.cast_column("image", datasets.Image(decode=False)), strict=True):
        rank, image_id = Path(path["image"]["path"]).stem.split("_")
        row = picks[int(rank), image_id]
        np.testing.assert_array_equal(np.asarray(item["image"]), pixels_of(row))
        of_the_class = {"name": "class_key", "source": "class_folder", "index": "class_index"}[class_folders]
        assert called[item["label"]] == (f"{row[of_the_class]:05d}" if class_folders == "index" else row[of_the_class])
        if class_folders == "index":
            assert item["label"] == row["class_index"], "sorted folders are in the order of classes"


def test_datasets_loads_parquet_with_images_and_the_labels_of_classes(
    folder: Path, datasets: ModuleType, tmp_path: Path
) -> None:
    loaded = datasets.load_dataset("parquet", data_dir=str(folder / "parquet"), split="train", cache_dir=tmp_path)
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.features["label"] == datasets.ClassLabel(names=[one.label for one in output_classes(KEYS, NAMES)])
    assert loaded.features["label"].names[5:7] == ["n02012849 crane", "n03126707 crane"]
    picks = by_place(folder)
    assert len(loaded) == len(picks)
    for item in loaded:
        row = picks[item["label"], item["image_id"]]
        np.testing.assert_array_equal(np.asarray(item["image"]), pixels_of(row))
        shared = item.keys() - {"image", "label"}
        assert {name: item[name] for name in shared} == {name: row[name] for name in shared}


def test_the_schema_says_of_itself_what_datasets_would_write(folder: Path, datasets: ModuleType) -> None:
    written = pq.read_schema(folder / "parquet" / "train-00000-of-00001.parquet")
    features = datasets.Features.from_arrow_schema(written)
    assert features.arrow_schema == written
    assert json.loads(features.arrow_schema.metadata[b"huggingface"]) == json.loads(written.metadata[b"huggingface"])
    assert schema(["a"]).names == written.names


def test_datasets_loads_the_shards(folder: Path, datasets: ModuleType, tmp_path: Path) -> None:
    loaded = datasets.load_dataset("webdataset", data_dir=str(folder / "webdataset"), split="train", cache_dir=tmp_path)
    assert isinstance(loaded.features["png"], datasets.Image)
    picks = by_place(folder)
    assert len(loaded) == len(picks)
    for item in loaded:
        row = picks[item["cls"], item["json"]["image_id"]]
        np.testing.assert_array_equal(np.asarray(item["png"]), pixels_of(row))


def test_webdataset_iterates_the_shards_and_finds_what_the_picks_are(folder: Path) -> None:
    samples = iterated(folder)
    picks = by_place(folder)
    assert len(samples) == len(picks)
    for sample in samples:
        row = picks[sample["cls"], sample["json"]["image_id"]]
        np.testing.assert_array_equal(sample["png"], pixels_of(row))
        assert sample["json"]["label"] == label(row)
        assert sample["json"]["class_index"] == row["class_index"]
        shared = sample["json"].keys() - {"label", "class_index"}
        assert {name: sample["json"][name] for name in shared} == {name: row[name] for name in shared}


def test_the_beginning_of_the_shards_is_the_smaller_set_with_every_class_in_turn(folder: Path) -> None:
    ranks = [(sample["json"]["rank"], sample["cls"]) for sample in iterated(folder)]
    assert ranks == [(rank, index) for rank in range(PER_CLASS) for index in range(len(KEYS))]


def test_shards_and_files_of_parquet_end_where_they_should_and_lose_nothing(
    datasets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webdataset_format, "SHARD_PICKS", 10)
    monkeypatch.setattr(parquet_format, "GROUP_ROWS", 4)
    monkeypatch.setattr(parquet_format, "FILE_BYTES", 1)
    folder = write_hostile(tmp_path / "out", formats=("webdataset", "parquet"))
    assert [path.name for path in sorted((folder / "webdataset").iterdir())] == [
        f"train-{number:05d}.tar" for number in range(4)
    ]
    assert [path.name for path in sorted((folder / "parquet").iterdir())] == [
        f"train-{number:05d}-of-00009.parquet" for number in range(9)
    ]
    assert [sample["json"]["image_id"] for sample in iterated(folder)] == datasets.load_dataset(
        "parquet", data_dir=str(folder / "parquet"), split="train", cache_dir=tmp_path / "cache"
    )["image_id"][:]
    assert len(iterated(folder)) == PER_CLASS * len(KEYS)


def test_pycocotools_finds_every_pick_on_its_original(folder: Path) -> None:
    from pycocotools.coco import COCO

    coco, rows = COCO(folder / "coco" / "annotations.json"), rows_of(folder)
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == [
        one.label for one in output_classes(KEYS, NAMES)
    ]
    assert len(coco.getAnnIds()) == len(rows)
    assert len(coco.getImgIds()) == len({row["source"] for row in rows})
    images = {one["file_name"]: one for one in coco.loadImgs(coco.getImgIds())}
    for row in rows:
        image = images[row["source"]]
        assert (image["height"], image["width"]) == original(row["source"]).shape[:2]
        (found,) = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert found["bbox"] == [row["left"], row["top"], row["width"], row["height"]]
        assert found["category_id"] == row["class_index"] + 1
        left, top, width, height = found["bbox"]
        np.testing.assert_array_equal(original(row["source"])[top : top + height, left : left + width], pixels_of(row))


def test_the_list_has_a_row_for_every_pick_and_its_images_sorted(folder: Path) -> None:
    rows = rows_of(folder)
    with (folder / "list" / "picks.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == len(rows)
    places = {(row["class_index"], row["rank"]): row for row in rows}
    indexes = {one.label: one.index for one in output_classes(KEYS, NAMES)}
    for one in listed:
        row = places[indexes[one["label"]], int(one["rank"])]
        for name, value in one.items():
            assert value == (label(row) if name == "label" else str(row[name])), name
    lines = (folder / "list" / "image_ids.txt").read_text().splitlines()
    assert lines == sorted({row["image_id"] for row in rows})


def test_two_exports_are_byte_identical(folder: Path, tmp_path: Path) -> None:
    assert contents(write_hostile(tmp_path)) == contents(folder)
