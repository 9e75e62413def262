"""Another format of a selection, made from what lies in its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from selector.cli import main
from selector.config import EXPORTS
from selector.errors import SelectorError, UsageError
from selector.output.convert import Conversion, convert
from tests.selector.output.hostile import METADATA, write_hostile
from tests.selector.output.written import contents, rows_of, write

WITH_PICTURES = ("imagefolder", "webdataset", "parquet")


def converted(folder: Path, *formats: str, notes: list[str] | None = None, **asked: Any) -> dict[str, Any]:
    return convert(folder, Conversion(formats, **asked), ([] if notes is None else notes).append)


def remade(folder: Path) -> dict[str, bytes]:
    """The folder without its manifest, which tells where pictures came from."""
    return {name: content for name, content in contents(folder).items() if name != "manifest.json"}


@pytest.mark.parametrize("source", WITH_PICTURES)
def test_a_converted_format_has_the_bytes_of_one_that_was_exported_at_once(source: str, tmp_path: Path) -> None:
    folder, direct = write_hostile(tmp_path / "later", formats=(source,)), write_hostile(tmp_path / "at-once")
    for name in EXPORTS:
        if name != source:
            notes: list[str] = []
            converted(folder, name, notes=notes)
            assert not notes
    assert contents(folder) == contents(direct)


@pytest.mark.parametrize("settings", [{"size": 12}, {"image_format": "jpeg"}, {"size": 40, "image_format": "webp"}])
@pytest.mark.parametrize("source", WITH_PICTURES)
def test_other_pictures_are_made_of_the_native_ones_as_of_the_originals(
    source: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_hostile(tmp_path / "later", formats=(source,))
    direct = write_hostile(tmp_path / "at-once", formats=WITH_PICTURES, class_folders="index", **settings)
    converted(folder, *WITH_PICTURES, class_folders="index", **settings)
    assert contents(folder) == contents(direct)


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize("size", [0, 30])
def test_whole_images_are_converted_as_whole_images(mode: str, size: int, tmp_path: Path) -> None:
    def whole(name: str, **export: Any) -> Path:
        return write(tmp_path / name, mode=mode, export={"take": "image", **export}, on_short="repeat")[0]

    folder, direct = whole("later"), whole("at-once", formats=EXPORTS, size=size)
    converted(folder, *EXPORTS, size=size)
    assert contents(folder) == contents(direct)


def test_what_is_not_named_is_as_it_is_there_and_what_lies_there_stays(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",), size=20, image_format="jpeg")
    (folder / "report.html").write_text("report")
    (folder / "images" / "notes.txt").write_text("mine")
    before = remade(folder)
    made = converted(folder, "parquet")
    assert made["formats"]["parquet"]["size"] == 20
    assert made["formats"]["parquet"]["image_format"] == "jpeg"
    after = remade(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"parquet/train-00000-of-00001.parquet"}
    assert [path.name for path in tmp_path.iterdir() if path.name != ".selector.lock"] == [folder.name]
    cells = pq.read_table(folder / "parquet")["image"].to_pylist()
    assert sorted(cell["bytes"] for cell in cells) == sorted(
        content for name, content in before.items() if name.endswith(".jpg")
    )


def test_a_description_that_lies_there_describes_the_new_format_too(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path / "later", formats=("imagefolder", "croissant"))
    direct = write_hostile(tmp_path / "at-once", formats=("imagefolder", "parquet", "croissant"))
    converted(folder, "parquet")
    assert contents(folder) == contents(direct)


def test_metadata_are_those_of_the_export_or_new_ones(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",))
    converted(folder, "croissant")
    assert json.loads((folder / "croissant.json").read_text())["citeAs"] == METADATA["citation"]
    converted(folder, "croissant", metadata={"license": "MIT"})
    described = json.loads((folder / "croissant.json").read_text())
    assert described["license"] == "MIT"
    assert "citeAs" not in described


def test_a_list_alone_gives_further_lists_but_no_pictures(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path / "later", formats=("list",))
    direct = write_hostile(tmp_path / "at-once", formats=("list", "coco"))
    before = contents(folder)
    with pytest.raises(
        UsageError, match=r"holds no pictures \(list\), and parquet needs some: .*selector select --export parquet"
    ):
        converted(folder, "parquet")
    assert contents(folder) == before
    converted(folder, "coco")
    assert contents(folder) == contents(direct)


@pytest.mark.parametrize("size", [0, 21])
def test_larger_pictures_than_there_are_need_the_originals(size: int, tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",), size=20)
    before = contents(folder)
    with pytest.raises(UsageError, match=rf"png pictures of 20 px \(imagefolder\).*selector select .*--size {size}"):
        converted(folder, "parquet", size=size)
    assert contents(folder) == before


def test_pictures_that_lost_something_are_told_and_never_taken_for_exact_ones_again(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",), image_format="jpeg")
    notes: list[str] = []
    made = converted(folder, "parquet", image_format="png", notes=notes)
    assert len(notes) == 1
    assert "made from jpeg pictures" in notes[0]
    origin = {"format": "imagefolder", "size": 0, "image_format": "jpeg"}
    assert made["formats"]["parquet"]["made_from"] == origin
    shutil.rmtree(folder / "images")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["export"]["formats"]["imagefolder"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "made_from" in converted(folder, "webdataset", notes=notes)["formats"]["webdataset"]
    assert len(notes) == 2


def test_the_exact_pictures_are_taken_of_several(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path / "later", formats=("parquet",))
    converted(folder, "imagefolder", size=16, image_format="jpeg")
    direct = write_hostile(tmp_path / "at-once", formats=("webdataset",), size=16)
    notes: list[str] = []
    converted(folder, "webdataset", size=16, image_format="png", notes=notes)
    assert not notes
    name = "webdataset/train-00000.tar"
    assert contents(folder)[name] == contents(direct)[name]


def _lose(folder: Path) -> None:
    next(folder.glob("images/*/*.png")).unlink()


def _shrink(folder: Path) -> None:
    path = next(folder.glob("images/*/*.png"))
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(path)


def _spoil(folder: Path) -> None:
    next(folder.glob("images/*/*.png")).write_bytes(b"no picture")


@pytest.mark.parametrize("harm", [_lose, _shrink, _spoil])
def test_a_picture_that_is_not_as_it_was_written_stops_the_conversion(harm: Any, tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",))
    harm(folder)
    before = contents(folder)
    with pytest.raises(SelectorError, match=r"its imagefolder is no longer as it was written.*select again"):
        converted(folder, *EXPORTS, size=10)
    assert contents(folder) == before


@pytest.mark.parametrize("source", ["webdataset", "parquet"])
@pytest.mark.parametrize("harm", ["gone", "cut", "another"])
def test_shards_and_files_that_are_not_as_they_were_written_stop_the_conversion(
    source: str, harm: str, tmp_path: Path
) -> None:
    folder = write_hostile(tmp_path / "this", formats=(source,))
    other = write(tmp_path / "other", export={"formats": (source,)})[0]
    (path,) = (path for path in (folder / source).iterdir())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        shutil.copy(other / source / path.name, path)
    with pytest.raises(SelectorError, match=f"its {source} is no longer as it was written"):
        converted(folder, "imagefolder")
    assert not (folder / "images").exists()


def test_a_folder_that_says_too_little_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SelectorError, match="holds no selection: make it first"):
        converted(tmp_path / "nothing", "list")
    assert not list(tmp_path.iterdir()), "nothing is left beside a folder that is not ours"
    folder = write_hostile(tmp_path, formats=("imagefolder",))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "export": {"formats": []}}))
    with pytest.raises(SelectorError, match=r"manifest.json is damaged .*select again"):
        converted(folder, "list")
    del manifest["export"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SelectorError, match="written before there was `selector convert`: select again"):
        converted(folder, "list")


def test_a_table_without_the_new_columns_is_refused(tmp_path: Path) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",))
    table = pq.read_table(folder / "selection.parquet")
    pq.write_table(table.drop_columns(["class_key"]), folder / "selection.parquet")
    with pytest.raises(SelectorError, match=r"selection.parquet or manifest.json is damaged"):
        converted(folder, "list")


def test_the_command_converts_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_hostile(tmp_path, formats=("imagefolder",))
    (tmp_path / "set.toml").write_text('name = "Another"\n')
    main(["convert", str(folder), "--export", "list,croissant", "--metadata", str(tmp_path / "set.toml")])
    assert capsys.readouterr().out == f"{folder}: list, croissant of {len(rows_of(folder))} images\n"
    assert json.loads((folder / "croissant.json").read_text())["name"] == "Another"
    main(["convert", str(folder), "--export", "parquet", "--size", "8", "--json"])
    assert json.loads(capsys.readouterr().out)["formats"]["parquet"]["size"] == 8
