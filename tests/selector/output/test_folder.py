"""The files of a selection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.config import EXPORTS, ExportConfig
from selector.errors import SelectorError, UsageError
from selector.output.classes import output_classes
from selector.output.folder import holds, refuse_foreign, settings_of, write_selection
from selector.output.table import summary
from selector.records import Box
from selector.selection.selection import select
from tests.patch_tables import patch_table
from tests.selector.output.written import contents, crop, pictures_of, rows_of, write

NAMES = {0: "t-shirt", 1: "ankle/boot"}


def test_every_pick_is_a_png_of_its_native_crop_named_by_rank_and_id(tmp_path: Path) -> None:
    folder, made, table = write(tmp_path)
    assert folder == tmp_path / "ipc-4"
    images = {path.relative_to(folder / "images").as_posix() for path in (folder / "images").rglob("*.png")}
    expected = {}
    for number, rank, row in zip(made.class_id, made.rank, made.row, strict=True):
        name = f"{ {0: 't-shirt', 1: 'ankle%2Fboot'}[int(number)] }/{rank:04d}_{table.image_id[row]}.png"
        expected[name] = int(row)
    assert images == expected.keys()
    assert any(name.startswith("t-shirt/0000_") for name in images), "rank counts from 0"
    for name, row in expected.items():
        with Image.open(folder / "images" / name) as picture:
            box = Box(*(int(column[row]) for column in (table.top, table.left, table.height, table.width)))
            np.testing.assert_array_equal(np.asarray(picture), crop(str(table.source[row]), box))
            assert picture.info == {}


def test_the_parquet_file_holds_the_stated_columns_of_every_pick(tmp_path: Path) -> None:
    folder, made, table = write(tmp_path)
    stored = pq.read_table(folder / "selection.parquet")
    box = ["top", "left", "height", "width"]
    score = ["typicality", "standard_error", "cluster_label", "membership", "draws"]
    of_the_image = ["image_height", "image_width", "class_index", "class_key", "class_folder"]
    assert stored.column_names == ["class_id", "class_name", "rank", "image_id", "source", *box, *score, *of_the_image]
    assert stored.num_rows == 8
    rows = stored.to_pylist()
    assert [row["class_name"] for row in rows] == ["t-shirt"] * 4 + ["ankle/boot"] * 4
    for place, row in enumerate(rows):
        patch = int(made.row[place])
        assert row["image_id"] == table.image_id[patch]
        assert row["source"] == table.source[patch]
        assert (row["top"], row["left"], row["height"], row["width"]) == (table.top[patch], table.left[patch], 28, 28)
        assert row["typicality"] == table.typicality[patch]
        assert (row["rank"], row["cluster_label"]) == (made.rank[place], made.cluster_label[place])


def test_a_folder_says_how_its_picks_were_made_and_whether_they_are_those_of_a_selection(tmp_path: Path) -> None:
    folder, made, table = write(tmp_path, order="typicality", seed=3)
    assert settings_of(folder) == {"order": "typicality", "on_short": "error", "seed": 3}
    assert holds(folder, made, table)
    assert not holds(folder, select(table, NAMES, 4, order="random"), table)
    moved = replace(table, top=table.top + 1)
    assert not holds(folder, made, moved)
    with pytest.raises(SelectorError, match="holds no selection"):
        settings_of(tmp_path)


def test_two_writings_are_byte_identical(tmp_path: Path) -> None:
    one, _, _ = write(tmp_path / "one")
    other, _, _ = write(tmp_path / "other")
    assert contents(one) == contents(other)


def test_the_manifest_carries_what_was_given_and_counts_that_add_up(tmp_path: Path) -> None:
    folder, made, table = write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["versions"] == {"selector": "0.1"}
    assert manifest["selection"] == json.loads(json.dumps(summary(made, table, NAMES)))
    assert manifest["selection"]["picks"] == sum(one["picks"] for one in manifest["selection"]["classes"].values()) == 8
    assert manifest["selection"]["classes"]["t-shirt"]["images"] == 9


def test_a_new_selection_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    first, _, _ = write(tmp_path, order="clusters")
    (first / "report.html").write_text("old")
    second, _, _ = write(tmp_path, order="random")
    clean, _, _ = write(tmp_path / "clean", order="random")
    assert contents(second) == contents(clean)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_selections_of_other_sizes_stand_side_by_side(tmp_path: Path) -> None:
    small, _, _ = write(tmp_path, 2)
    before = contents(small)
    large, _, _ = write(tmp_path, 5)
    assert contents(small) == before
    assert {name for name in before if name.endswith(".png")} < contents(large).keys()


def test_a_source_that_changed_stops_the_writing_and_leaves_the_old_selection(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path)
    before = contents(folder)
    with pytest.raises(SelectorError, match=r"class0/.*changed since it was scored"):
        write_badly(folder)
    assert contents(folder) == before
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"ipc-4"}, "what the failed writing left is cleared away"


def test_a_writing_killed_between_its_two_renames_is_mended(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path)
    before, rows = contents(folder), pq.read_table(folder / "selection.parquet")
    folder.rename(tmp_path / f".ipc-4.{'0' * 32}.old")
    with pytest.raises(SelectorError, match="changed"):
        write_badly(folder, rows)
    assert contents(folder) == before


def write_badly(folder: Path, rows: pa.Table | None = None) -> None:
    """Writes the picks that lie there again, in vain."""
    rows = pq.read_table(folder / "selection.parquet") if rows is None else rows

    def changed(source: str, box: Box) -> NDArray[np.uint8]:
        raise SelectorError(f"{source} changed since it was scored")

    every = ExportConfig(formats=EXPORTS)  # files that are open meanwhile are closed
    write_selection(folder, rows, output_classes(NAMES, NAMES), pictures_of(changed), {}, every)


def test_a_folder_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ipc-4").mkdir()
    (tmp_path / "ipc-4" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no selection"):
        refuse_foreign(tmp_path, 4)
    assert (tmp_path / "ipc-4" / "thesis.txt").read_text() == "years of work"


def test_repeated_picks_get_files_of_their_own(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path, 12, on_short="repeat")
    assert len(list((folder / "images" / "t-shirt").iterdir())) == 12


def test_a_class_without_picks_has_no_folder(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path, 3, table=patch_table([5]), on_short="all")
    assert [path.name for path in (folder / "images").iterdir()] == ["t-shirt"]


def test_names_beyond_ascii_survive(tmp_path: Path) -> None:
    name = "Schnürstiefel 靴"
    table = patch_table([4])
    table = replace(table, source=np.array([f"{name}/{i}.png" for i in range(4)], dtype=object))
    folder, _, _ = write(tmp_path, 2, keys={0: name}, table=table)
    assert (folder / "images" / name).is_dir()
    assert rows_of(folder)[0]["source"].startswith(f"{name}/")
    assert name in (folder / "manifest.json").read_text(encoding="utf-8")


def test_classes_of_one_name_have_folders_of_their_own_and_both_say_the_name(tmp_path: Path) -> None:
    ids = {0: "n02012849", 1: "n03126707"}
    for _ in range(2):  # the second time, what the first wrote is its own and goes
        folder, _, _ = write(tmp_path, keys=ids, names={0: "crane", 1: "crane"})
    assert {path.name for path in (folder / "images").iterdir()} == set(ids.values())
    assert len(list(folder.rglob("*.png"))) == 8
    assert [(row["class_id"], row["class_name"]) for row in rows_of(folder)] == [(0, "crane")] * 4 + [(1, "crane")] * 4
    assert set(json.loads((folder / "manifest.json").read_text())["selection"]["classes"]) == set(ids.values())


def test_an_older_selection_goes_with_the_files_of_all_its_formats_and_what_others_put_there_stays(
    tmp_path: Path,
) -> None:
    folder, _, _ = write(tmp_path, export={"formats": EXPORTS, "image_format": "webp", "class_folders": "index"})
    for name in ("webdataset/mine-00000.tar", "images/00000/mine.webp", "notes.txt"):
        (folder / name).write_text("mine")
    write(tmp_path)
    clean, _, _ = write(tmp_path / "clean")
    mine = {"webdataset/mine-00000.tar", "images/00000/mine.webp", "notes.txt"}
    assert contents(folder).keys() == contents(clean).keys() | mine


def test_a_damaged_manifest_keeps_nothing_from_being_replaced(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path, export={"formats": EXPORTS})
    (folder / "manifest.json").write_text("{")
    write(tmp_path)
    clean, _, _ = write(tmp_path / "clean")
    assert {name: contents(folder)[name] for name in contents(clean)} == contents(clean)
