"""Stores that were scored apart become one, or nothing is written and the reason is named."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from selector.errors import SelectorError, StoreError, UsageError
from selector.store import merging
from selector.store.claims import Claims
from selector.store.commits import read_commit
from selector.store.comparing import TOLERANCES, compare
from selector.store.merging import Merged
from selector.store.schema import IMAGE_SCHEMA
from selector.store.store import Store
from selector.store.summary import stem
from tests.selector.store_writer import image_rows, patch_rows, vectors, vectors_file

FINGERPRINT = {"classes": [f"class {i}" for i in range(9)], "precision": "fp32", "draws": 4}
ROWS = 6
STEP = TOLERANCES["fp32"] / 4


def images_of(shard: int, *, by: float = 0.0, status: str = "", **columns: Any) -> pa.Table:
    """Rows of stage I of a shard. by: added to the losses. columns: values of all rows."""
    rows = image_rows(shard, 4, ROWS).to_pylist()
    for row in rows:
        row["losses_prompt"] = [loss + by for loss in row["losses_prompt"]]
        row.update(columns)
        if status:
            row.update({name: [] for name in row if name.startswith("window_")}, status=status, reason="damaged")
            row.update(typicality=[], standard_error=[])
    return pa.Table.from_pylist(rows, IMAGE_SCHEMA)


def commit(store: Store, shard: int, rows: pa.Table | None = None, *, number: int | None = None) -> None:
    """Both stages of a shard. rows: of stage I, if they are not the usual ones. number: under which it is committed."""
    number = shard if number is None else number
    assert store.commit_images(number, images_of(shard) if rows is None else rows, vectors(shard, 1, 4, 4, rows=ROWS))
    assert store.commit_patches(number, patch_rows(shard, 4, ROWS), vectors(shard, 1, 8, rows=ROWS))


def made(path: Path, shards: Sequence[int], **fingerprint: Any) -> Store:
    """A store of these shards, whose run is in its history."""
    store = Store.create_or_open(path, FINGERPRINT | fingerprint)
    for shard in shards:
        commit(store, shard)
    store.write_data_root(path.parent / "data", {f"class {shard}": shard for shard in shards})
    store.append_history({"unet_rows": 8 * ROWS * len(shards), "server_version": "a", "seconds": {}})
    return store


def merge(into: Path, *stores: Store, keep_first: bool = False) -> Merged:
    return merging.merge([store.path for store in stores], into, keep_first=keep_first, note=lambda line: None)


def files(store: Path) -> dict[str, bytes]:
    """All commits and vectors, by name."""
    found = [path for stage in ("images", "patches") for path in (store / stage).iterdir()]
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in found if not p.name.startswith("summary")}


def test_two_halves_become_the_whole_by_hard_links(tmp_path: Path) -> None:
    one, two, whole = (
        made(tmp_path / name, shards) for name, shards in (("1", (0, 2)), ("2", (1, 3)), ("3", range(4)))
    )
    done = merge(tmp_path / "both" / "store", one, two)
    merged = Store.open(tmp_path / "both" / "store")
    assert files(merged.path) == files(whole.path)
    assert (done.images, done.patches, done.linked, done.copied, done.rewritten) == (4 * ROWS, 4 * ROWS, 8, 0, 0)
    assert (merged.path / "images" / "00003.parquet").samefile(two.path / "images" / "00003.parquet")
    assert merged.images().equals(whole.images())
    assert merged.read_history() == [*one.read_history(), *two.read_history()]
    assert merged.read_data_root() == whole.read_data_root()
    assert merged.read_fingerprint() == FINGERPRINT
    rows = list(csv.DictReader((tmp_path / "both" / "outcomes.csv").read_text().splitlines()))
    assert [(row["source"], row["status"]) for row in rows] == [
        (s, "scored") for s in whole.images()["source"].to_pylist()
    ]
    merged.verify()


def test_where_files_can_not_be_linked_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path.hardlink_to

    def across(path: Path, target: Path) -> None:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(path, target)

    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    monkeypatch.setattr(Path, "hardlink_to", across)
    done = merge(tmp_path / "both", one, two)
    assert (done.linked, done.copied) == (0, 4)
    assert files(tmp_path / "both") == files(one.path) | files(two.path)
    assert not (tmp_path / "both" / "images" / "00000.parquet").samefile(one.path / "images" / "00000.parquet")


def test_a_number_that_is_taken_gives_way_to_a_spare_one_and_keeps_its_vectors(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [])
    commit(two, 5, number=0)
    done = merge(tmp_path / "both", one, two)
    merged = Store.open(tmp_path / "both")
    assert (done.linked, done.rewritten) == (2, 2)
    assert merged.image_shards() == merged.patch_shards() == {0, 1}
    for path in (tmp_path / "both").rglob("*.npy"):
        os.utime(path, (1, 1))  # so old that a sweep takes what no commit names
    merged.sweep()
    merged.verify()
    assert sorted(merged.images()["class_id"].to_pylist()) == [0] * ROWS + [5] * ROWS
    assert set(merged.read_patches().class_id.tolist()) == {0, 5}


def test_what_several_have_is_taken_once_whatever_its_number_and_the_time_of_its_file(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0, 1]), made(tmp_path / "2", [0])
    commit(two, 1, images_of(1, mtime_ns=77), number=8)
    commit(two, 2)
    done = merge(tmp_path / "both", one, two)
    assert (done.equal, done.kept_first, done.images, done.patches) == (4 * ROWS, 0, 3 * ROWS, 3 * ROWS)
    assert Store.open(tmp_path / "both").image_shards() == {0, 1, 2}


def test_rows_that_another_store_has_in_part_are_left_out_of_their_commit(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", []), made(tmp_path / "2", [3])
    one.commit_images(0, images_of(3).slice(0, 2), vectors(3, 1, 4, 4, rows=ROWS)[:2])
    done = merge(tmp_path / "both", one, two)
    merged = Store.open(tmp_path / "both")
    assert (done.images, done.equal, done.linked, done.rewritten) == (ROWS, 2, 2, 1)
    assert len(merged.images()) == ROWS
    rows, maps = read_commit(merged.path / "images", stem(3), verify=True)
    assert rows["source"].to_pylist() == [f"3/{row}.png" for row in range(2, ROWS)]
    assert np.array_equal(maps, vectors(3, 1, 4, 4, rows=ROWS)[2:])


def test_rows_that_differ_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    commit(two, 0, images_of(0, by=STEP), number=4)
    said = r"1/images/00000 and .*2/images/00004 differ in losses_prompt for 0/0.png \(image_id 0{16}\): nothing was written"
    with pytest.raises(StoreError, match=said):
        merge(tmp_path / "both", one, two)
    assert not (tmp_path / "both").exists()
    assert not (tmp_path / "outcomes.csv").exists()


def test_the_first_is_kept_within_the_tolerance_and_no_further(tmp_path: Path) -> None:
    one, two, far = made(tmp_path / "1", [0]), made(tmp_path / "2", [1]), made(tmp_path / "3", [])
    commit(two, 0, images_of(0, by=STEP), number=4)
    commit(far, 0, images_of(0, by=9 * STEP))
    done = merge(tmp_path / "both", one, two, keep_first=True)
    assert (done.equal, done.kept_first, done.other_windows) == (ROWS, ROWS, 0)
    assert files(tmp_path / "both")["images/00000.parquet"] == files(one.path)["images/00000.parquet"]
    with pytest.raises(StoreError, match=r"differ in losses_prompt by more than 0.0001 for 0/0.png"):
        merge(tmp_path / "third", one, far, keep_first=True)
    with pytest.raises(StoreError, match=r"differ in losses_prompt by more than 0.0001"):
        merge(tmp_path / "both", far, keep_first=True)


def test_features_differ_like_rows(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [])
    two.commit_images(0, images_of(0), vectors(0, 1, 4, 4, rows=ROWS))
    two.commit_patches(0, patch_rows(0, 4, ROWS), vectors(0, 1, 8, rows=ROWS) + np.float16(0.5))
    with pytest.raises(StoreError, match=r"1/patches/00000 and .*2/patches/00000 differ in the feature by more"):
        merge(tmp_path / "both", one, two, keep_first=True)


def test_patches_of_a_window_that_came_first_elsewhere_are_not_taken(tmp_path: Path) -> None:
    """Two windows that are equally good: the image's row is of the first store, and so must its patches be."""
    one, two = made(tmp_path / "1", []), made(tmp_path / "2", [])
    one.commit_images(0, images_of(0), vectors(0, 1, 4, 4, rows=ROWS))
    commit(two, 0, images_of(0, window_left=[9], standard_error=[0.9]))
    commit(two, 1)
    done = merge(tmp_path / "both", one, two, keep_first=True)
    merged = Store.open(tmp_path / "both")
    assert (done.other_windows, done.images, done.patches) == (ROWS, 2 * ROWS, ROWS)
    assert [len(group.images) for group in merged.undescribed(merged.images()["source"].combine_chunks())] == [ROWS]
    with pytest.raises(StoreError, match="differ in window_left for 0/0"):
        merge(tmp_path / "strict", one, two)


def test_a_failure_and_a_score_of_one_image_contradict_each_other(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [])
    commit(two, 0, images_of(0, status="failed"))
    for keep_first in (False, True):
        with pytest.raises(StoreError, match="differ in status"):
            merge(tmp_path / "both", one, two, keep_first=keep_first)


def test_other_bytes_under_one_name_are_refused(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [])
    commit(two, 0, images_of(0, image_id="f" * 16))
    with pytest.raises(StoreError, match=r"have other bytes under the name 0/0.png \(image_id 0{16} and f{16}\)"):
        merge(tmp_path / "both", one, two, keep_first=True)


def test_the_row_that_stands_in_its_store_stands_in_the_merged_one(tmp_path: Path) -> None:
    """A file that failed in shard 3 and was scored again in 4, where 3 is taken and gets a higher number."""
    one, two = made(tmp_path / "1", []), made(tmp_path / "2", [])
    commit(one, 1, number=3)
    failed = images_of(0, status="failed")
    two.commit_images(3, pa.concat_tables([failed, images_of(2)]), vectors(0, 1, 4, 4, rows=2 * ROWS))
    two.commit_images(4, images_of(0), vectors(0, 1, 4, 4, rows=ROWS))
    merge(tmp_path / "both", one, two)
    images = Store.open(tmp_path / "both").images()
    assert len(images) == 3 * ROWS
    assert pc.all(pc.equal(images["status"], "ok")).as_py()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"draws": 8}, "'draws' is 8 there and 4 here"),
        ({"precision": "fp16"}, "'precision' is \"fp16\" there"),
        ({"assign_draws": 4}, "one of .* was scored without labels: they can't be joined"),
    ],
)
def test_another_fingerprint_is_refused_by_its_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1], **change)
    with pytest.raises(StoreError, match=said):
        merge(tmp_path / "both", one, two)
    assert not (tmp_path / "both").exists()
    with pytest.raises(StoreError, match=said):
        merge(one.path, two)


def test_a_store_that_is_there_is_added_to_and_a_second_time_nothing_changes(tmp_path: Path) -> None:
    into, other = made(tmp_path / "into", [0, 1]), made(tmp_path / "2", [1, 2])
    done = merge(into.path, other)
    assert (done.images, done.equal, done.linked) == (ROWS, 2 * ROWS, 2)
    before = files(into.path)
    assert set(into.read_data_root().folders) == {"class 0", "class 1", "class 2"}
    done = merge(into.path, other)
    assert (done.images, done.patches, done.equal) == (0, 0, 4 * ROWS)
    assert files(into.path) == before
    assert len(into.read_history()) == 2


def test_a_merge_that_was_killed_goes_on_when_it_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    commit(two, 2, number=0)
    stages, put = [], merging._put

    def killed(merged: Store, taken: Any, *rest: Any) -> None:
        stages.append(taken.stage)
        if len(stages) == 4:
            raise KeyboardInterrupt
        put(merged, taken, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(merging, "_put", killed)
        with pytest.raises(KeyboardInterrupt):
            merge(tmp_path / "both", one, two)
    merge(tmp_path / "both", one, two)
    merge(tmp_path / "at once", one, two)
    killed_once, at_once = Store.open(tmp_path / "both"), Store.open(tmp_path / "at once")
    columns = ("source", "image_id", "status", "class_id", "draws")
    assert killed_once.images(*columns).equals(at_once.images(*columns))
    patches = [store.read_patches() for store in (killed_once, at_once)]
    assert [table.source.tolist() for table in patches] == [patches[0].source.tolist()] * 2
    assert np.array_equal(*(np.asarray(table.features) for table in patches))
    assert len(killed_once.read_history()) == 2


def test_damage_is_found_before_anything_is_written(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    file = vectors_file(two, 1)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match="2/patches/00001 is damaged"):
        merge(tmp_path / "both", one, two)
    assert not (tmp_path / "both").exists()


def test_a_folder_of_two_classes_is_refused(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    (two.path / "data.json").unlink()
    two.write_data_root(tmp_path / "data", {"class 0": 3})
    with pytest.raises(StoreError, match="was scored with the folder 'class 0' as"):
        merge(tmp_path / "both", one, two)


def test_places_that_can_not_be(tmp_path: Path) -> None:
    one, two = made(tmp_path / "1", [0]), made(tmp_path / "2", [1])
    with pytest.raises(UsageError, match="is named twice: name every store once"):
        merge(one.path, one, two)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds what no store is made of"):
        merge(tmp_path / "taken", one, two)
    with pytest.raises(StoreError, match="is not a scored store"):
        merging.merge([one.path, tmp_path], tmp_path / "both", keep_first=False, note=print)
    with Claims(two.path, "").registered():
        with pytest.raises(SelectorError, match="is written by process"):
            merge(two.path, one)
        said: list[str] = []
        merging.merge([one.path, two.path], tmp_path / "both", keep_first=False, note=said.append)
    assert "what it has by now is taken" in said[0]


@pytest.mark.parametrize("tolerance", [None, 0.25])
def test_a_comparison_finds_any_change_of_any_value(tolerance: float | None) -> None:
    """Of every column but the time of the file; null is another value than any."""
    rows, maps = images_of(1, assigned_margin=0.5), vectors(1, 1, 4, 4, rows=ROWS)
    assert compare("images", (rows, rows), (maps, maps), tolerance).column == ""
    for name in (name for name in IMAGE_SCHEMA.names if name != "mtime_ns"):
        changed = rows.to_pylist()
        before = changed[2][name]
        changed[2][name] = {str: "x", int: 99, float: None, list: [7] * 9}.get(type(before), 1)
        found = compare("images", (rows, pa.Table.from_pylist(changed, IMAGE_SCHEMA)), (maps, maps), tolerance)
        if tolerance is None or not name.startswith("window_"):
            assert (found.column, found.row) == (name, 2)
        else:
            assert found.moved.tolist() == [row == 2 for row in range(ROWS)]
    nearly = np.nextafter(maps, np.float16(np.inf))
    assert compare("images", (rows, rows), (maps, nearly), tolerance).column == ("the map" if tolerance is None else "")
