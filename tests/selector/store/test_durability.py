"""What stays on disk whatever ends a commit: full disks, kills, cut-off replacements, several writers."""

from __future__ import annotations

import errno
import os
import random
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
    fsync, replace, link = os.fsync, Path.replace, Path.hardlink_to

    def noted_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        events.append(f"sync {name.split('.')[-3] if '.' in name else 'folder'}")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        events.append(f"rename {target.suffix[1:]}")
        return replace(path, target)

    def noted_link(path: Path, target: Path) -> None:
        events.append(f"link {path.suffix[1:]}")
        link(path, target)

    monkeypatch.setattr(commits.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(Path, "hardlink_to", noted_link)
    assert store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    assert events == ["sync npy", "rename npy", "sync folder", "sync parquet", "link parquet", "sync folder"]


def test_of_writers_of_one_shard_the_first_wins_and_the_others_leave_nothing(store: Store) -> None:
    def commit(version: int) -> bool:
        return store.commit_patches(0, patch_rows(0, version), vectors(0, version, 4))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(commit, range(1, 17)))
    assert sum(won) == 1
    store.verify()
    assert set(store.read_patches().draws.tolist()) == {won.index(True) + 1}
    assert len(list((store.path / "patches").glob("*.npy"))) == 1
    assert list((store.path / "patches").glob("*.tmp")) == []


def test_equal_writers_of_one_shard_share_their_vectors(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda _: store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4)), range(16)))
    assert sum(won) == 1
    store.verify()


def test_a_link_whose_reply_was_lost_is_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS may do: the link is made, and the repeated request says that it is there."""
    link = Path.hardlink_to

    def lost(path: Path, target: Path) -> None:
        link(path, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(Path, "hardlink_to", lost)
    assert store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    store.verify()


def test_a_file_system_without_links_is_written_by_rename(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(path: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", none)
    assert store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    assert not store.commit_patches(0, patch_rows(0, 2), vectors(0, 2, 4))
    store.verify()
    assert set(store.read_patches().draws.tolist()) == {1}


def test_what_killed_writers_left_goes_after_a_day_and_nothing_else(store: Store) -> None:
    store.commit_patches(0, patch_rows(0, 1), vectors(0, 1, 4))
    folder = store.path / "patches"
    kept = {path.name for path in folder.iterdir()}
    old = [f"00000.{'a' * 32}.npy", f"00007.{'b' * 32}.npy", f"00007.parquet.{'c' * 32}.tmp"]
    for name in [*old, f"00008.{'d' * 32}.npy", "notes.npy"]:
        (folder / name).touch()
    for name in [*old, *kept, "notes.npy"]:
        os.utime(folder / name, (1, 1))
    store.sweep()
    assert {path.name for path in folder.iterdir()} == kept | {f"00008.{'d' * 32}.npy", "notes.npy"}
    store.verify()


def test_kill_9_at_any_moment_leaves_only_whole_and_right_shards(tmp_path: Path) -> None:
    """A real writer, killed six times while it commits, and deletes and commits again; the seventh start goes on."""
    path, moments = tmp_path / "store", random.Random(5)
    root = Path(__file__).parents[3]
    commits_seen = 0
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
        commits_seen += _check_whole(Store.open(path))
    assert commits_seen > 50


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
