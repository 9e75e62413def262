"""Pictures in every format: of another size, and of whole images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.config import EXPORTS
from tests.patch_tables import patch_table
from tests.selector.output.hostile import iterated, write_hostile
from tests.selector.output.written import original, pixels_of, rows_of, write


@pytest.mark.parametrize(("image_format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_a_size_gives_squares_in_every_format_of_pictures(
    image_format: str, suffix: str, datasets: ModuleType, tmp_path: Path
) -> None:
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
