"""The rows of all commits in one table: as if they were read one by one, whatever came, changed or went in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selector.errors import StoreError
from selector.store import summary as module
from selector.store.commits import read_rows
from selector.store.schema import IMAGE_SCHEMA
from selector.store.store import Store
from selector.store.summary import SUMMARY_FILE
from tests.selector.store_writer import deleted, image_rows, patch_rows, vectors

FINGERPRINT = {"of": "a test"}


def commit(store: Store, shard: int, sources: list[str], version: int) -> None:
    rows = image_rows(shard, version, len(sources)).to_pylist()
    for row, source in zip(rows, sources, strict=True):
        row["source"] = source
    maps = vectors(shard, version, 2, 2, rows=len(sources))
    store.commit_images(shard, pa.Table.from_pylist(rows, IMAGE_SCHEMA), maps)


steps = st.lists(
    st.tuples(
        st.integers(0, 5), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True), st.booleans()
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40)
@given(steps)
def test_of_several_rows_of_a_file_that_of_the_last_shard_stands(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, list[str], bool]]
) -> None:
    """Commits are new, made again or deleted, and a summary is or is not made after each."""
    store = Store.create_or_open(tmp_path_factory.mktemp("store"), FINGERPRINT)
    there: dict[int, tuple[int, list[str]]] = {}
    for version, (shard, sources, look) in enumerate(steps, 1):
        if shard in there:
            (store.path / "images" / f"{shard:05d}.parquet").unlink()
            del there[shard]
        if version % 3:
            commit(store, shard, sources, version)
            there[shard] = version, sources
        if look:
            store.images()
    wanted = {source: (shard, there[shard][0]) for shard in sorted(there) for source in there[shard][1]}
    found = {row["source"]: (row["shard"], row["draws"]) for row in store.images().to_pylist()}
    assert found == wanted
    assert store.images()["source"].to_pylist() == sorted(wanted)
    for row in store.images().to_pylist():
        record, _ = Store.open(store.path).image_record(row["shard"], row["row"])
        assert (record["source"], record["draws"]) == (row["source"], row["draws"])


def test_commits_that_are_known_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    for shard in range(3):
        commit(store, shard, [f"{shard}/a", f"{shard}/b"], 1)
    assert len(store.images()) == 6
    read: list[str] = []
    monkeypatch.setattr(module, "read_rows", lambda *what: read.append(what[1]) or read_rows(*what))
    assert len(store.images()) == 6
    assert read == []
    commit(store, 3, ["3/a"], 1)
    assert len(store.images()) == 7
    assert read == ["00003"]
    deleted(store, 1)
    commit(store, 1, ["1/a"], 2)
    assert len(store.images()) == 6
    assert sorted(read[1:]) == ["00000", "00001", "00002", "00003"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_summary_is_made_again(tmp_path: Path, damage: str) -> None:
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    commit(store, 0, [f"{number:04d}" for number in range(500)], 1)
    before = store.images()
    path = store.path / "images" / SUMMARY_FILE
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[200] ^= 0xFF
    path.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "other": b"PAR1"}[damage])
    assert store.images().equals(before)


def test_where_no_summary_can_be_written_every_command_reads_the_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("read-only")

    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    commit(store, 0, ["a"], 1)
    monkeypatch.setattr(module, "write_whole", refuse)
    assert len(store.images()) == 1
    assert not (store.path / "images" / SUMMARY_FILE).exists()


def test_patches_of_two_widths_are_an_error(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "store", FINGERPRINT)
    for shard, width in enumerate((4, 5)):
        store.commit_patches(shard, patch_rows(shard, 1, 2), np.ones((2, width), np.float16))
    with pytest.raises(StoreError, match="of 4 and of 5 numbers"):
        store.read_patches()
