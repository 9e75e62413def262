"""The files of a selection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from selector.errors import SelectorError, UsageError
from selector.output.folder import class_folder, holds, selection_table, settings_of, summary, write_selection
from selector.records import Box, PatchTable
from selector.selection.selection import Selection, select
from tests.patch_tables import patch_table

NAMES = {0: "t-shirt", 1: "ankle/boot"}


def crop(source: str, box: Box) -> NDArray[np.uint8]:
    """Pixels that tell source and box."""
    draw = np.random.default_rng([*source.encode(), box.top, box.left])
    return draw.integers(0, 256, (box.height, box.width, 3), dtype=np.uint8)


def write(out: Path, ipc: int = 4, **options: Any) -> tuple[Path, Selection, PatchTable]:
    table = patch_table([9, 7])
    made = select(table, NAMES, ipc, **options)
    return write_selection(out, ipc, made, table, NAMES, crop, {"versions": {"selector": "0.1"}}), made, table


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    assert stored.column_names == ["class_id", "class_name", "rank", "image_id", "source", *box, *score]
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
    assert holds(folder, made, table, NAMES)
    assert not holds(folder, select(table, NAMES, 4, order="random"), table, NAMES)
    moved = replace(table, top=table.top + 1)
    assert not holds(folder, made, moved, NAMES)
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
    folder, made, table = write(tmp_path)
    before = contents(folder)

    def changed(source: str, box: Box) -> NDArray[np.uint8]:
        raise SelectorError(f"{source} changed since it was scored")

    with pytest.raises(SelectorError, match=r"class0/.*changed since it was scored"):
        write_selection(tmp_path, 4, made, table, NAMES, changed, {})
    assert contents(folder) == before
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"ipc-4"}, "what the failed writing left is cleared away"


def test_a_writing_killed_between_its_two_renames_is_mended(tmp_path: Path) -> None:
    folder, made, table = write(tmp_path)
    before = contents(folder)
    folder.rename(tmp_path / f".ipc-4.{'0' * 32}.old")

    def broken(source: str, box: Box) -> NDArray[np.uint8]:
        raise SelectorError("gone")

    with pytest.raises(SelectorError, match="gone"):
        write_selection(tmp_path, 4, made, table, NAMES, broken, {})
    assert contents(folder) == before


def test_a_folder_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ipc-4").mkdir()
    (tmp_path / "ipc-4" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no selection"):
        write(tmp_path)
    assert (tmp_path / "ipc-4" / "thesis.txt").read_text() == "years of work"


def test_repeated_picks_get_files_of_their_own(tmp_path: Path) -> None:
    folder, _, _ = write(tmp_path, 12, on_short="repeat")
    assert len(list((folder / "images" / "t-shirt").iterdir())) == 12


def test_a_class_without_picks_has_no_folder(tmp_path: Path) -> None:
    table = patch_table([5])
    made = select(table, NAMES, 3, on_short="all")
    folder = write_selection(tmp_path, 3, made, table, NAMES, crop, {})
    assert [path.name for path in (folder / "images").iterdir()] == ["t-shirt"]


def test_names_beyond_ascii_survive(tmp_path: Path) -> None:
    table = patch_table([4])
    table = replace(table, source=np.array([f"Schnürstiefel 靴/{i}.png" for i in range(4)], dtype=object))
    made = select(table, ["Schnürstiefel 靴"], 2)
    folder = write_selection(tmp_path, 2, made, table, ["Schnürstiefel 靴"], crop, {})
    assert (folder / "images" / "Schnürstiefel 靴").is_dir()
    assert selection_table(made, table, ["Schnürstiefel 靴"])["source"][0].as_py().startswith("Schnürstiefel 靴/")
    assert "Schnürstiefel 靴" in (folder / "manifest.json").read_text(encoding="utf-8")


@given(st.sets(st.text(max_size=12), min_size=2, max_size=8))
def test_class_folders_stay_inside_and_apart(names: set[str]) -> None:
    folders = {class_folder(name) for name in names}
    assert len(folders) == len(names)
    for folder in folders:
        assert folder not in ("", ".", "..")
        assert "/" not in folder
        assert "\0" not in folder


def test_classes_of_one_name_have_folders_of_their_own_and_both_say_the_name(tmp_path: Path) -> None:
    table, ids = patch_table([9, 7]), {0: "n02012849", 1: "n03126707"}
    made = select(table, ids, 4)
    for _ in range(2):  # the second time, what the first wrote is its own and goes
        folder = write_selection(tmp_path, 4, made, table, ids, crop, {}, {0: "crane", 1: "crane"})
    assert {path.name for path in (folder / "images").iterdir()} == set(ids.values())
    assert len(list(folder.rglob("*.png"))) == 8
    rows = pq.read_table(folder / "selection.parquet").to_pylist()
    assert [(row["class_id"], row["class_name"]) for row in rows] == [(0, "crane")] * 4 + [(1, "crane")] * 4
    assert set(json.loads((folder / "manifest.json").read_text())["selection"]["classes"]) == set(ids.values())


def test_ordinary_class_names_are_their_own_folders() -> None:
    for name in ("t-shirt", "ankle-boot", "n01440764", "great white shark, white shark"):
        assert class_folder(name) == name
