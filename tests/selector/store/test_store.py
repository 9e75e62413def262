"""The store: what is committed is read back, and what is damaged or contradicts itself is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selector.errors import StoreError
from selector.records import Box
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA
from selector.store.store import Store
from tests.selector.store_reader import read_images
from tests.selector.store_writer import deleted, image_rows, patch_rows, vectors, vectors_file

FINGERPRINT = {"pipeline": "abc", "classes": ["bag", "coat"], "draws": 12, "prior_weight": 0.5}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create_or_open(tmp_path / "store", FINGERPRINT)


def a_row(source: str, **values: Any) -> dict[str, Any]:
    """A row of IMAGE_SCHEMA without windows."""
    lists: dict[str, Any] = {f.name: [] for f in IMAGE_SCHEMA if pa.types.is_list(f.type)}
    numbers = {"class_id": 0, "draws": 0, "height": 0, "width": 0, "size": 9, "mtime_ns": 1}
    assigned = {f.name: None for f in IMAGE_SCHEMA if f.nullable}
    texts = {"image_id": "", "source": source, "status": "failed", "reason": "empty"}
    return {**texts, **numbers, **lists, **assigned, **values}


finite = st.floats(-1000, 1000, width=16)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(
        st.tuples(st.integers(0, 9), texts, st.integers(0, 3), st.lists(finite, min_size=5, max_size=5)),
        max_size=12,
        unique_by=lambda row: (row[0], row[2]),
    ),
    st.integers(1, 4),
)
def test_patches_round_trip_sorted_by_class_image_and_rank(
    tmp_path_factory: pytest.TempPathFactory, patches: list[tuple[int, str, int, list[float]]], shards: int
) -> None:
    """Whatever shard a patch is in and in whatever order it was committed."""
    store = Store.create_or_open(tmp_path_factory.mktemp("store"), FINGERPRINT)
    rows = patch_rows(0, 12, rows=len(patches)).to_pylist()
    for row, (image, source, rank, _) in zip(rows, patches, strict=True):
        row.update(image_id=f"{image:016x}", source=source, patch_rank=rank, class_id=image % 3, top=image + rank)
    features = np.asarray([values for *_, values in patches], np.float16).reshape(-1, 5)
    for shard in range(shards):
        store.commit_patches(shard, pa.Table.from_pylist(rows[shard::shards], PATCH_SCHEMA), features[shard::shards])
    table = Store.open(store.path).read_patches()
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["class_id"], rows[i]["image_id"], rows[i]["patch_rank"]))
    for name in (
        "class_id",
        "image_id",
        "source",
        "patch_rank",
        "top",
        "left",
        "height",
        "width",
        "typicality",
        "draws",
    ):
        assert getattr(table, name).tolist() == [rows[i][name] for i in order]
    assert (np.asarray(table.features) == features[order]).all()
    assert np.asarray(table.features).dtype == np.float16
    assert (table.class_id.dtype, table.typicality.dtype) == (np.int32, np.float32)


@given(st.lists(st.tuples(texts, st.integers(0, 3), st.lists(finite, max_size=4)), max_size=8), st.integers(0, 9))
def test_images_round_trip_with_their_maps(
    tmp_path_factory: pytest.TempPathFactory, images: list[tuple[str, int, list[float]]], seed: int
) -> None:
    store = Store.create_or_open(tmp_path_factory.mktemp("store"), FINGERPRINT)
    names = [name for name in IMAGE_SCHEMA.names if name.startswith("window_")]
    rows = []
    for source, windows, losses in images:
        boxes = {name: list(range(windows)) for name in names}
        scores = {"typicality": [0.25] * windows, "standard_error": [0.5] * windows}
        rows.append(a_row(source, status="ok", losses_prompt=losses, losses_reference=losses[::-1], **boxes, **scores))
    maps = np.random.default_rng(seed).normal(size=(len(rows), 4, 3)).astype(np.float16)
    store.commit_images(7, pa.Table.from_pylist(rows, IMAGE_SCHEMA), maps)
    table, stored = read_images(Store.open(store.path))
    assert table.drop(["shard"]).to_pylist() == rows
    assert table["shard"].to_pylist() == [7] * len(rows)
    assert len(stored) == len(rows)
    assert all((stored[i] == maps[i]).all() for i in range(len(rows)))


def test_an_empty_store_reads_as_empty_tables(store: Store) -> None:
    assert len(store.read_patches()) == 0
    table, maps = read_images(store)
    assert table.num_rows == len(maps) == 0
    assert table.column_names == [*IMAGE_SCHEMA.names, "shard"]
    assert store.image_shards() == set()


def test_a_failed_feature_keeps_its_row_but_is_no_patch(store: Store) -> None:
    rows = patch_rows(0, 1, rows=3).to_pylist()
    rows[1].update(status="failed", reason="features: NaN")
    store.commit_patches(0, pa.Table.from_pylist(rows, PATCH_SCHEMA), vectors(0, 1, 4, rows=3))
    assert store.read_patches().source.tolist() == ["0/0.png", "0/2.png"]
    images = image_rows(0, 1, rows=4).to_pylist()
    for image, patch in zip(images, rows, strict=False):
        image.update(image_id=patch["image_id"], source=patch["source"])
    store.commit_images(0, pa.Table.from_pylist(images, IMAGE_SCHEMA), np.zeros((4, 2, 2), np.float16))
    assert store.described(store.images()).to_pylist() == ["", "features: NaN", "", None]


def test_scored_images_are_those_with_windows(store: Store) -> None:
    rows = [*image_rows(3, 12, rows=2).to_pylist(), a_row("3/broken.png"), a_row("3/tiny.png", status="filtered")]
    store.commit_images(3, pa.Table.from_pylist(rows, IMAGE_SCHEMA), np.zeros((4, 2, 2), np.float16))
    first, second = store.scored_images(3)
    assert (first.source, second.source) == ("3/0.png", "3/1.png")
    assert first.boxes == (Box(3, 3, 3, 3),)
    assert (second.typicality, second.standard_error, second.draws) == ((1.0,), (0.5,), 12)
    assert store.scored_images(4) == ()
    assert store.images()["source"].to_pylist() == sorted(row["source"] for row in rows)
    assert (
        dict(zip(store.images()["source"].to_pylist(), store.images()["status"].to_pylist(), strict=True))[
            "3/broken.png"
        ]
        == "failed"
    )


def test_a_committed_shard_stays_and_a_deleted_one_can_be_made_again(store: Store) -> None:
    def commit(version: int, rows: int) -> tuple[bool, bool]:
        images = store.commit_images(0, image_rows(0, version, rows), vectors(0, version, 4, 4, rows=rows))
        return images, store.commit_patches(0, patch_rows(0, version, rows), vectors(0, version, 9, rows=rows))

    assert commit(1, 40) == (True, True)
    assert commit(2, 25) == (False, False)
    assert set(store.read_patches().draws.tolist()) == {1}
    deleted(store, 0)
    assert commit(2, 25) == (True, True)
    table = store.read_patches()
    assert len(table) == len(np.unique(table.image_id)) == 25
    assert set(table.draws.tolist()) == {2}
    assert read_images(store)[0].num_rows == 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 16}, r"'draws' is 12 there and 16 here"),
        ({"classes": ["bag", "hat"]}, r"'classes', entry 1 is \"coat\" there and \"hat\" here"),
        ({"classes": ["bag"]}, r"'classes' \(2 entries against 1\)"),
        ({"decoder": "pillow 99"}, r"'decoder' is \"\(absent\)\" there and \"pillow 99\" here"),
        ({"prior_weight": 1.0}, "'prior_weight' is 0.5 there and 1.0 here"),
    ],
)
def test_another_fingerprint_is_refused_by_the_field_that_differs(
    store: Store, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        Store.create_or_open(store.path, {**FINGERPRINT, **change})


def test_a_store_opens_again_under_its_fingerprint(store: Store) -> None:
    again = Store.create_or_open(store.path, {**FINGERPRINT, "classes": ("bag", "coat")})
    assert again.read_fingerprint() == Store.open(store.path).read_fingerprint() == FINGERPRINT


def test_a_folder_that_is_no_store_says_so(tmp_path: Path, store: Store) -> None:
    assert not Store.exists(tmp_path / "nothing")
    with pytest.raises(StoreError, match=r"not a scored store: it has no store\.json"):
        Store.open(tmp_path / "nothing")
    store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    (store.path / "store.json").unlink()
    with pytest.raises(StoreError, match=r"shards but no store\.json"):
        Store.create_or_open(store.path, FINGERPRINT)
    (store.path / "store.json").write_text('{"lay')
    with pytest.raises(StoreError, match="damaged"):
        Store.open(store.path)
    (store.path / "store.json").write_text(json.dumps({"layout": 99, "fingerprint": {}}))
    with pytest.raises(StoreError, match="has layout 99"):
        Store.open(store.path)


def test_the_place_of_the_data_may_change_but_a_folders_class_may_not(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no data\.json"):
        store.read_data_root()
    store.write_data_root(tmp_path / "a", {"bags": 0})
    store.write_data_root(tmp_path / "b", {"coats": 1})
    assert store.read_data_root().root == tmp_path / "b"
    assert store.read_data_root().folders == {"bags": 0, "coats": 1}
    with pytest.raises(StoreError, match="folder 'bags' as 'bag', now it is 'coat'"):
        store.write_data_root(tmp_path / "b", {"bags": 1})


def _short(store: Store) -> None:
    path = vectors_file(store, 0)
    path.write_bytes(path.read_bytes()[:-6])


def _flipped(store: Store) -> None:
    path = vectors_file(store, 0)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def _missing(store: Store) -> None:
    vectors_file(store, 0).unlink()


def _foreign(store: Store) -> None:
    np.save(vectors_file(store, 0), vectors(0, 2, 4))


def _torn_rows(store: Store) -> None:
    path = store.path / "patches" / "00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", [_short, _flipped, _missing, _foreign, _torn_rows])
def test_damage_is_an_error_that_names_the_shard_and_what_to_do(store: Store, damage: Callable[[Store], None]) -> None:
    store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    damage(store)
    for read in (lambda: np.asarray(store.read_patches().features), store.verify):
        with pytest.raises(StoreError, match=r"00000 is damaged.*Delete 00000\.parquet"):
            read()


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((2, 4, 4), np.float32), "float16"),
        (np.zeros((2, 4), np.float16), r"\[n, h, w\]"),
        (np.zeros((3, 4, 4), np.float16), "2 rows and 3 vectors"),
        (np.full((2, 4, 4), np.nan, np.float16), "finite"),
    ],
)
def test_maps_that_do_not_fit_are_refused(store: Store, maps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.commit_images(0, image_rows(0, 1, 2), maps)
    assert store.image_shards() == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"status": "done"}, "status 'done'"), ({"status": "failed"}, "1"), ({"typicality": []}, r"\[0, 1\] entries")],
)
def test_rows_that_contradict_themselves_are_refused(store: Store, change: dict[str, Any], message: str) -> None:
    rows = image_rows(0, 1, 1).to_pylist()
    rows[0].update(change)
    with pytest.raises(ValueError, match=message):
        store.commit_images(0, pa.Table.from_pylist(rows, IMAGE_SCHEMA), np.zeros((1, 2, 2), np.float16))


def test_rows_without_a_column_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r"rows lack .'draws'"):
        store.commit_patches(0, patch_rows(0, 1).drop(["draws"]), vectors(0, 1, 4))


def test_the_same_scores_make_the_same_bytes(tmp_path: Path) -> None:
    """A resumed run's store can be compared with an undisturbed one's file by file."""
    for name in ("one", "two"):
        store = Store.create_or_open(tmp_path / name, FINGERPRINT)
        store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
