"""What stays on disk whatever ends a commit: full disks, kills, cut-off replacements, several writers."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from selector.errors import FileError
from selector.store import commits
from selector.store.store import Store
from tests.selector.store_reader import read_images
from tests.selector.store_writer import WIDTH, image_rows, patch_rows, vectors


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create_or_open(tmp_path / "store", {"of": "a test"})


def test_threads_may_commit_different_shards_at_once(store: Store) -> None:
    def commit(shard: int) -> None:
        store.commit_patches(shard, patch_rows(shard, 1), vectors(shard, 1, 4))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(commit, range(24)))
    assert store.patch_shards() == set(range(24))
    store.verify()


def test_a_disk_that_is_full_is_an_error_of_the_file_and_leaves_nothing_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commits.os, "fsync", full)
    with pytest.raises(FileError, match="the disk is full: make room"):
        store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    assert list((store.path / "patches").iterdir()) == []


def test_everything_is_synced_before_it_is_named_and_the_rows_come_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append(f"sync {name.split('.')[1] if '.' in name else 'folder'}")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        events.append(f"name {target.suffix[1:]}")
        return replace(path, target)

    monkeypatch.setattr(commits.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    assert events == ["sync npy", "name npy", "sync folder", "sync parquet", "name parquet", "sync folder"]


def test_a_replacement_that_is_cut_off_after_its_vectors_leaves_no_old_rows_beside_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    store.commit_patches(1, patch_rows(1, 1), vectors(1, 1, 4))
    replace = Path.replace

    def cut_off(path: Path, target: Path) -> Path:
        if target.suffix == ".parquet":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            store.commit_patches(0, patch_rows(0, 2), vectors(0, 2, 4))
    assert store.patch_shards() == {1}
    assert set(store.read_patches().class_id.tolist()) == {1}


def test_kill_9_at_any_moment_leaves_only_whole_and_right_shards(tmp_path: Path) -> None:
    """A real writer, killed six times while it commits new shards and replaces old ones; the seventh start goes on."""
    path, moments = tmp_path / "store", random.Random(5)
    root = Path(__file__).parents[3]
    commits_seen, leftovers = 0, 0
    for _ in range(6):
        before = len(list(path.glob("*/*.parquet")))
        with subprocess.Popen([sys.executable, "-m", "tests.selector.store_writer", str(path)], cwd=root) as writer:
            deadline = time.monotonic() + 60
            while len(list(path.glob("*/*.parquet"))) <= before + 4:
                assert writer.poll() is None, "the writer ended by itself"
                assert time.monotonic() < deadline, "the writer commits nothing"
            kill_at = time.monotonic() + moments.uniform(0, 0.15)
            while time.monotonic() < kill_at:
                pass
            writer.send_signal(signal.SIGKILL)
        leftovers += len(list(path.glob("*/*.tmp")))
        commits_seen += _check_whole(Store.open(path))
    assert commits_seen > 50
    # A commit of the same shards goes over what the kills left, and a lost shard can be made again.
    store = Store.create_or_open(path, {"of": "the writer"})
    for stem in {leftover.name.split(".")[0] for leftover in path.glob("patches/*.tmp")}:
        store.commit_patches(int(stem), patch_rows(int(stem), 1), vectors(int(stem), 1, WIDTH))
    assert list(path.glob("patches/*.tmp")) == []
    shutil.rmtree(path)


def _check_whole(store: Store) -> int:
    """Every listed shard has all rows of one version, and exactly that version's vectors; returns their number."""
    store.verify()
    table, maps = read_images(store)
    for shard in store.image_shards():
        at = np.flatnonzero(np.asarray(table["shard"]) == shard)
        version = table["draws"][int(at[0])].as_py()
        assert table.drop(["shard"]).take(at).to_pylist() == image_rows(shard, version).to_pylist()
        assert (np.stack([maps[int(i)] for i in at]) == vectors(shard, version, 16, 16)).all()
    patches = store.read_patches()
    for shard in store.patch_shards():
        mine = patches.take(patches.class_id == shard)
        assert len(np.unique(mine.image_id)) == len(mine) == 40
        assert len(set(mine.draws.tolist())) == 1
        assert (np.asarray(mine.features) == vectors(shard, int(mine.draws[0]), WIDTH)).all()
    return len(store.image_shards()) + len(store.patch_shards())
