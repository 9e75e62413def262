"""Soft labels of a selection: what is in the file, that it can be made again, and that nothing is left half done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.errors import SelectorError, UsageError
from selector.output.convert import Conversion, convert
from selector.progress import Progress
from selector.soft_labels.label import label
from selector.soft_labels.networks import Network
from selector.soft_labels.settings import LabelConfig
from tests.patch_tables import patch_table
from tests.selector.output.written import contents, rows_of
from tests.selector.soft_labels.coloured import (
    COLOURS,
    SIDE,
    onnx_teacher,
    torchscript_teacher,
    weights,
    write_coloured,
)

QUIET = Progress(quiet=True)
HALF = (0.5, 0.5, 0.5)
FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_teacher(tmp_path_factory.mktemp("teacher") / "colours.onnx")


@pytest.fixture
def config(teacher: Path, tmp_path: Path) -> LabelConfig:
    folder = write_coloured(tmp_path)
    return LabelConfig(folder, str(teacher), views=3, mean=HALF, std=HALF, top_k=4, threads=1)


def table(folder: Path) -> pa.Table:
    return pq.read_table(folder / "soft-labels.parquet")


def stated(folder: Path) -> dict[str, Any]:
    return json.loads(table(folder).schema.metadata[b"soft_labels"])


def shown(folder: Path, row: dict[str, Any]) -> NDArray[np.uint8]:
    """What a view shows, by Pillow alone."""
    box = (row["left"], row["top"], row["left"] + row["width"], row["top"] + row["height"])
    with Image.open(folder / row["picture"]) as picture:
        seen = picture.crop(box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(seen)[:, ::-1] if row["mirrored"] else np.asarray(seen)


def said(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the teacher says of it, in numpy."""
    logits = (pixels / 127.5 - 1.0).mean(axis=(0, 1)) @ weights(COLOURS)
    return np.exp(logits) / np.exp(logits).sum()


def test_every_pick_has_its_views_and_each_the_label_of_what_it_shows(config: LabelConfig) -> None:
    made = label(config, QUIET)
    rows, picks = table(config.folder).to_pylist(), rows_of(config.folder)
    assert made["rows"] == len(rows) == 3 * len(picks)
    expected = {(p["class_index"], p["rank"], p["image_id"], view) for p in picks for view in range(3)}
    assert {(r["class_index"], r["rank"], r["image_id"], r["view"]) for r in rows} == expected
    for row in rows:
        with Image.open(config.folder / row["picture"]) as picture:
            assert picture.size == (row["picture_width"], row["picture_height"])
        wanted = said(shown(config.folder, row))
        assert row["classes"] == np.argsort(-wanted)[:4].tolist()
        assert np.allclose(row["probabilities"], np.sort(wanted)[::-1][:4], rtol=2e-3, atol=1e-5)
    assert {row["mirrored"] for row in rows} == {True, False}
    assert len({(row["top"], row["left"], row["height"]) for row in rows}) > len(rows) / 2


def test_the_file_says_what_it_is_and_no_path_of_this_machine(config: LabelConfig) -> None:
    label(config, QUIET)
    about = stated(config.folder)
    assert about["teacher"]["name"] == "colours.onnx"
    assert len(about["teacher"]["digest"]) == 64
    assert about["classes"] == list(COLOURS)
    assert (about["temperature"], about["views"], about["check"]["pictures"]) == (1.0, 3, 24)
    assert str(config.folder.parent) not in json.dumps(about)


def test_the_same_command_gives_the_same_bytes_and_more_views_are_these_and_further_ones(config: LabelConfig) -> None:
    label(config, QUIET)
    before, few = contents(config.folder), table(config.folder)
    label(config, QUIET)
    assert contents(config.folder) == before
    label(replace(config, views=5), QUIET)
    many = table(config.folder)
    assert many.filter(pa.compute.less(many["view"], 3)).equals(few)
    label(replace(config, seed=1), QUIET)
    assert table(config.folder)["top"].to_pylist() != few["top"].to_pylist()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_label_does_not_depend_on_how_many_pictures_are_seen_at_once(config: LabelConfig, batch: int) -> None:
    label(config, QUIET)
    first = table(config.folder)
    label(replace(config, batch=batch), QUIET)
    assert table(config.folder).drop(["probabilities"]).equals(first.drop(["probabilities"]))


def test_no_view_is_the_middle_square_of_each_picture(config: LabelConfig, tmp_path: Path) -> None:
    folder = write_coloured(tmp_path / "whole", export={"take": "image"})
    label(replace(config, folder=folder, views=0), QUIET)
    rows = table(folder).to_pylist()
    assert {(r["view"], r["top"], r["left"], r["height"], r["width"], r["mirrored"]) for r in rows} == {
        (0, 0, 10, 70, 70, False)
    }
    assert len(rows) == len(rows_of(folder))


@pytest.mark.parametrize(
    "made",
    [
        lambda path: torchscript_teacher(path / "t.ts"),
        lambda path: onnx_teacher(path / "t.onnx", shape="4,3,16,16"),
        lambda path: onnx_teacher(path / "t.onnx", shape="n,16,16,3"),
        lambda path: onnx_teacher(path / "t.onnx", shape="n,3,h,w"),
        lambda path: onnx_teacher(path / "t.onnx", probabilities=True),
    ],
    ids=["torchscript", "four rows at once", "channels last", "any side", "probabilities"],
)
def test_a_teacher_of_any_kind_gives_the_same_labels(
    config: LabelConfig, made: Callable[[Path], Path], tmp_path: Path
) -> None:
    label(config, QUIET)
    first = table(config.folder)
    label(replace(config, teacher=str(made(tmp_path)), input_side=SIDE), QUIET)
    again = table(config.folder)
    assert again.drop(["probabilities"]).equals(first.drop(["probabilities"]))
    assert np.allclose(*(t["probabilities"].to_pylist() for t in (first, again)), atol=2e-3)


def test_what_a_file_does_not_say_is_supposed_aloud(
    config: LabelConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = onnx_teacher(tmp_path / "t.onnx", shape="n,3,h,w")
    label(replace(config, teacher=str(made), mean=None, std=None), Progress())
    printed = capsys.readouterr().err
    assert "ImageNet's --input-side 224, --mean 0.485,0.456,0.406, --std 0.229,0.224,0.225" in printed
    assert "they are taken for the data's, in the data's order" in printed
    assert "teacher: right on 100.0% of 24 picks" in printed


def test_some_of_the_teachers_classes_are_renormalised_or_kept_among_all(config: LabelConfig, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(COLOURS))
    folder = write_coloured(tmp_path / "some", classes=("yellow", "blue"))
    some = replace(config, folder=folder, teacher_classes=names, top_k=0)
    label(some, QUIET)
    own = table(folder)
    label(replace(some, labelled="teacher"), QUIET)
    every = table(folder)
    assert "classes" not in own.schema.names
    two, six = (np.array(t["probabilities"].to_pylist()) for t in (own, every))
    assert np.allclose(two, six[:, [5, 2]] / six[:, [5, 2]].sum(axis=1, keepdims=True), atol=2e-3)
    assert stated(folder)["classes"] == list(COLOURS)
    assert stated(folder)["outputs"] == [5, 2]


def test_a_higher_temperature_flattens_labels(config: LabelConfig) -> None:
    label(config, QUIET)
    first = np.array(table(config.folder)["probabilities"].to_pylist())
    label(replace(config, temperature=4.0), QUIET)
    assert (np.array(table(config.folder)["probabilities"].to_pylist())[:, 0] < first[:, 0]).all()


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_pictures_in_shards_or_cells_get_the_labels_of_those_in_folders(
    config: LabelConfig, form: str, tmp_path: Path
) -> None:
    label(config, QUIET)
    folder = write_coloured(tmp_path / "other", export={"formats": (form,)})
    label(replace(config, folder=folder), QUIET)
    assert table(folder).drop(["picture"]).equals(table(config.folder).drop(["picture"]))
    assert re.fullmatch(r"00000_0000_[0-9a-f]{16}\.png", table(folder)["picture"][0].as_py())


def test_without_pictures_there_is_nothing_to_show_a_teacher(config: LabelConfig, tmp_path: Path) -> None:
    folder = write_coloured(tmp_path / "list", export={"formats": ("list",)})
    with pytest.raises(UsageError, match=r"holds no pictures \(list\).*select again with --export imagefolder"):
        label(replace(config, folder=folder), QUIET)


def test_a_missing_picture_is_named_and_the_older_labels_stay(config: LabelConfig) -> None:
    label(config, QUIET)
    before = contents(config.folder)
    lost = sorted((config.folder / "images").rglob("*.png"))[-1]
    lost.unlink()
    with pytest.raises(SelectorError, match=lost.name):
        label(config, QUIET)
    assert contents(config.folder) == {k: v for k, v in before.items() if not k.endswith(lost.name)}


def test_what_a_killed_process_left_goes_and_a_failure_leaves_nothing(
    config: LabelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.folder / ".soft-labels.parquet.99.part").write_text("half")
    before = contents(config.folder)
    asked: list[int] = []

    def fails(self: Network, crops: NDArray[np.uint8], answer: Any = Network.__call__) -> NDArray[np.float32]:
        asked.append(len(crops))
        if sum(asked) > 60:  # in the middle of the views
            raise KeyboardInterrupt
        return answer(self, crops)

    monkeypatch.setattr(Network, "__call__", fails)
    with pytest.raises(KeyboardInterrupt):
        label(config, QUIET)
    assert contents(config.folder) == {k: v for k, v in before.items() if not k.endswith(".part")}


def test_labels_stay_with_the_same_pictures_and_go_with_others(config: LabelConfig) -> None:
    label(config, QUIET)
    labels = (config.folder / "soft-labels.parquet").read_bytes()
    write_coloured(config.folder.parent)
    assert (config.folder / "soft-labels.parquet").read_bytes() == labels
    convert(config.folder, Conversion(("parquet",)), lambda _: None)
    assert (config.folder / "soft-labels.parquet").read_bytes() == labels
    with pytest.raises(UsageError, match=r"soft-labels\.parquet has boxes of pictures that would become others"):
        convert(config.folder, Conversion(("imagefolder",), size=8), lambda _: None)
    write_coloured(config.folder.parent, table=patch_table([6] * 6, seed=5))
    assert not (config.folder / "soft-labels.parquet").exists()


def test_the_reader_of_the_docs_gives_views_and_labels(config: LabelConfig) -> None:
    label(config, QUIET)
    (code,) = (part for part in re.findall(r"```python\n(.*?)```", FORMATS.read_text(), re.S) if "soft-labels" in part)
    scope: dict[str, Any] = {}
    exec(code, scope)
    read: Iterator[tuple[NDArray[np.uint8], NDArray[np.float32], int]] = scope["views"](config.folder, SIDE)
    for (pixels, probabilities, true), row in zip(read, table(config.folder).to_pylist(), strict=True):
        assert np.array_equal(pixels, shown(config.folder, row))
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-3)
        assert np.abs(probabilities - said(pixels)).max() < 0.02  # of two classes the mean is kept alone
        assert true == row["class_index"]
