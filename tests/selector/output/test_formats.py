"""Every format is read back by the library that people read it with, offline, and compared with selection.parquet and crops."""

from __future__ import annotations

import csv
import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.config import EXPORTS
from selector.output.classes import output_classes
from selector.output.formats import EXPORTERS
from selector.output.formats import parquet as parquet_format
from selector.output.formats import webdataset as webdataset_format
from selector.output.formats.parquet import schema
from tests.patch_tables import patch_table
from tests.selector.output.written import contents, original, pixels_of, rows_of, write

NAMES = {
    0: "a/b.c",
    1: "..",
    2: ".hidden",
    3: "Schnürstiefel 靴",
    4: "[x]*? {y}",
    5: "crane",
    6: "crane",
    7: 'quote", comma\nline',
    8: "100%/%2F",
    9: "",
    10: "00003",
}
KEYS = NAMES | {5: "n02012849", 6: "n03126707"}
"""Names that paths, globs, keys of WebDataset, CSV and label maps could stumble over; two classes are called crane."""
LABELS = ["n02012849 crane" if number == 5 else name for number, name in NAMES.items()]
METADATA = {
    "name": "A few windows",
    "description": "Windows of random pictures.",
    "url": "https://example.org/windows",
    "license": "CC0-1.0",
    "citation": "@misc{windows}",
    "version": "1.0.0",
    "date": "2026-01-31",
    "keywords": ["windows"],
    "creator": [{"type": "Person", "name": "Nobody"}],
}
PER_CLASS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three picks of every class in every format. Do not write into it."""
    return write_hostile(tmp_path_factory.mktemp("every"))


def write_hostile(out: Path, **export: Any) -> Path:
    values = {"formats": EXPORTS, "metadata": METADATA} | export
    return write(out, PER_CLASS, keys=KEYS, names=NAMES, counts=[5] * len(KEYS), export=values)[0]


def label(row: Mapping[str, Any]) -> str:
    return output_classes(KEYS, NAMES)[row["class_index"]].label


def by_place(folder: Path) -> dict[tuple[int, str], dict[str, Any]]:
    """The picks of selection.parquet by class index and image."""
    return {(row["class_index"], row["image_id"]): row for row in rows_of(folder)}


def test_every_format_that_the_command_offers_has_its_exporter() -> None:
    assert tuple(EXPORTERS) == EXPORTS


@pytest.mark.parametrize("class_folders", ["name", "source", "index"])
def test_datasets_loads_the_folders_of_pictures(class_folders: str, tmp_path: Path) -> None:
    import datasets

    folder = write_hostile(tmp_path / "out", formats=("imagefolder",), class_folders=class_folders)
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder / "images"), split="train", cache_dir=tmp_path / "cache"
    )
    called = [unquote(name) for name in loaded.features["label"].names]
    expected = {
        "name": sorted(KEYS.values()),
        "source": [f"class{number}" for number in sorted(map(str, KEYS))],
        "index": [f"{number:05d}" for number in KEYS],
    }
    if class_folders == "name":
        called = sorted("" if name == "%" else name for name in called)
    assert called == expected[class_folders]
    picks = {(row["rank"], row["image_id"]): row for row in rows_of(folder)}
    assert len(loaded) == len(picks) == PER_CLASS * len(KEYS)
    for item, path in zip(loaded, loaded.cast_column("image", datasets.Image(decode=False)), strict=True):
        rank, image_id = Path(path["image"]["path"]).stem.split("_")
        row = picks[int(rank), image_id]
        np.testing.assert_array_equal(np.asarray(item["image"]), pixels_of(row))
        if class_folders == "index":
            assert item["label"] == row["class_index"], "sorted folders are in the order of classes"


def test_datasets_loads_parquet_with_images_and_the_labels_of_classes(folder: Path, tmp_path: Path) -> None:
    import datasets

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


def test_the_schema_says_of_itself_what_datasets_would_write(folder: Path) -> None:
    import datasets

    written = pq.read_schema(folder / "parquet" / "train-00000-of-00001.parquet")
    features = datasets.Features.from_arrow_schema(written)
    assert features.arrow_schema == written
    assert json.loads(features.arrow_schema.metadata[b"huggingface"]) == json.loads(written.metadata[b"huggingface"])
    assert schema(["a"]).names == written.names


def test_datasets_loads_the_shards(folder: Path, tmp_path: Path) -> None:
    import datasets

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


def iterated(folder: Path) -> list[dict[str, Any]]:
    import webdataset

    shards = sorted(str(path) for path in (folder / "webdataset").iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves closing its files to Python
        return list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))


def test_shards_and_files_of_parquet_end_where_they_should_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

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


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_mlcroissant_takes_the_description_without_a_word_and_reads_the_picks_by_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not caplog.records
    assert not found.metadata.ctx.issues.errors
    assert not found.metadata.ctx.issues.warnings
    assert (found.metadata.name, found.metadata.license) == (METADATA["name"], [METADATA["license"]])
    assert found.metadata.creators[0].name == "Nobody"
    rows = rows_of(folder)
    listed = [plain(record) for record in found.records("picks")]
    assert listed == rows
    picks = by_place(folder)
    read = [plain(record) for record in found.records("rows")]
    assert len(read) == len(rows)
    for record in read:
        np.testing.assert_array_equal(
            np.asarray(record["image"]), pixels_of(picks[record["label"], record["image_id"]])
        )
    pictures = [plain(record) for record in found.records("pictures")]
    assert len(pictures) == len(rows)
    for record in pictures:
        with Image.open(folder / record["path"]) as picture:
            np.testing.assert_array_equal(np.asarray(record["image"]), np.asarray(picture))


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a row of selection.parquet has it."""
    return {
        name.rpartition("/")[2]: value.decode() if isinstance(value, bytes) else value for name, value in record.items()
    }


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize("formats", [("croissant",), ("croissant", "webdataset"), ("croissant", "list", "coco")])
def test_mlcroissant_only_misses_what_nobody_has_said(formats: tuple[str, ...], tmp_path: Path) -> None:
    import mlcroissant

    folder = write_hostile(tmp_path, formats=formats, metadata={})
    issues = mlcroissant.Dataset(jsonld=folder / "croissant.json").metadata.ctx.issues
    assert not issues.errors
    assert sorted(word for word in ("citeAs", "datePublished", "license", "version") if word in issues.report()) == [
        "citeAs",
        "datePublished",
        "license",
        "version",
    ]
    assert len(issues.warnings) == 4


def test_two_exports_are_byte_identical(folder: Path, tmp_path: Path) -> None:
    assert contents(write_hostile(tmp_path)) == contents(folder)


@pytest.mark.parametrize(("image_format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_a_size_gives_squares_in_every_format_of_pictures(image_format: str, suffix: str, tmp_path: Path) -> None:
    import datasets

    folder = write_hostile(tmp_path / "out", size=20, image_format=image_format)
    files = {path.name.split("_")[1].split(".")[0]: path for path in folder.glob(f"images/*/*.{suffix}")}
    rows = rows_of(folder)
    assert len(files) == len(rows)
    loaded = datasets.load_dataset(
        "parquet", data_dir=str(folder / "parquet"), split="train", cache_dir=tmp_path / "cache"
    )
    cells = {item["image_id"]: np.asarray(item["image"].convert("RGB")) for item in loaded}
    samples = {sample["json"]["image_id"]: sample[suffix] for sample in iterated(folder)}
    for row in rows:
        expected = np.asarray(Image.fromarray(pixels_of(row)).resize((20, 20), Image.Resampling.BICUBIC))
        with Image.open(files[row["image_id"]]) as picture:
            found = np.asarray(picture.convert("RGB"))
        np.testing.assert_array_equal(found, cells[row["image_id"]])
        np.testing.assert_array_equal(found, samples[row["image_id"]])
        if image_format == "jpeg":
            assert np.abs(found.astype(int) - expected).mean() < 3
        else:
            np.testing.assert_array_equal(found, expected)


def whole(tmp_path: Path, **options: Any) -> tuple[Path, list[dict[str, Any]]]:
    """A selection in which every class has two windows of each of its images, handed out as whole images."""
    table = patch_table([8, 6])
    pairs = table.take(np.arange(14))
    for column in ("image_id", "source", "patch_rank"):
        values = getattr(table, column).copy()
        values[1::2] = values[::2] if column != "patch_rank" else 1
        object.__setattr__(pairs, column, values)
    keys = {0: "one", 1: "two"}
    export = {"formats": EXPORTS, "take": "image"} | options
    folder, _, _ = write(tmp_path, 6, keys=keys, table=pairs, export=export, on_short="all")
    return folder, rows_of(folder)


def test_whole_images_are_handed_out_once_in_every_format(tmp_path: Path) -> None:
    folder, rows = whole(tmp_path)
    images = {row["image_id"]: row for row in reversed(rows)}
    assert len(rows) == 12
    assert len(images) == 7
    stated = json.loads((folder / "manifest.json").read_text())
    assert (stated["export"]["take"], stated["counts"]["handed_out"]) == ("image", 7)
    assert stated["export"]["of_an_image_handed_out_already"] == 5
    files = {path.stem: path for path in folder.glob("images/*/*.png")}
    assert files.keys() == {f"{row['rank']:04d}_{row['image_id']}" for row in images.values()}, "at its best rank"
    for row in images.values():
        with Image.open(files[f"{row['rank']:04d}_{row['image_id']}"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), original(row["source"]))
    for sample in iterated(folder):
        np.testing.assert_array_equal(sample["png"], original(images[sample["json"]["image_id"]]["source"]))
        assert [sample["json"][name] for name in ("top", "left", "height", "width")] == [0, 0, 70, 90]
    assert len(iterated(folder)) == pq.read_table(folder / "parquet").num_rows == 7
    with (folder / "list" / "picks.csv").open(newline="") as file:
        listed = [(one["source"], one["height"], one["width"]) for one in csv.DictReader(file)]
    assert sorted(listed) == sorted({(row["source"], "70", "90") for row in rows})
    coco = json.loads((folder / "coco" / "annotations.json").read_text())
    assert [one["bbox"] for one in coco["annotations"]] == [[0, 0, 90, 70]] * 7
    assert len(coco["images"]) == 7


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_whole_images_are_fitted_as_the_models_saw_them(mode: str, tmp_path: Path) -> None:
    table = patch_table([3])
    folder, _, _ = write(tmp_path, 2, keys={0: "one"}, table=table, mode=mode, export={"take": "image", "size": 30})
    for row in rows_of(folder):
        (path,) = folder.glob(f"images/one/*{row['image_id']}.png")
        with Image.open(path) as picture:
            found: NDArray[np.uint8] = np.asarray(picture)
        assert found.shape == (30, 30, 3)
        pixels = original(row["source"])
        if mode == "crop":
            expected = Image.fromarray(pixels[:, 10:80]).resize((30, 30), Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(found, np.asarray(expected))
        else:
            assert not found[:3].any()
            np.testing.assert_array_equal(
                found[3:26], np.asarray(Image.fromarray(pixels).resize((30, 23), Image.Resampling.BICUBIC))
            )
