"""The store's file system fails while parts are scored: it is full in the middle of a commit, or turns read-only.

On a small tmpfs, which only root may mount.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import contents, same, wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount a tmpfs"),
]

SETTINGS = ("--draws", 2, "--shard-size", 2, "--workers", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_scenes(tmp_path_factory.mktemp("scenes") / "data", ("bag", "t-shirt"), 24)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path, server: str) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    selector("score", data, "--store", store, *SETTINGS, "--server", server)
    return store


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a size that tests change by `mounted`."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "none", path], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def mounted(disk: Path, options: str) -> bool:
    """Mounts it anew with other options; False where files that are being written forbid it."""
    return subprocess.run(["mount", "-o", f"remount,{options}", disk], capture_output=True, check=False).returncode == 0


def size_of(folder: Path) -> int:
    """In whole pages, as a tmpfs has it."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_disk_that_is_full_in_the_middle_is_one_line_of_each_part_and_goes_on_with_room(
    data: Path, undisturbed: Path, server: str, disk: Path, share: float
) -> None:
    assert mounted(disk, f"size={int(share * size_of(undisturbed))}")
    command = ("score", data, "--store", disk / "store", *SETTINGS, "--server", server)
    parts = [start(*command, "--part", f"{part}/2") for part in (1, 2)]
    for part in parts:
        said = part.communicate(timeout=120)[1]
        assert part.returncode == 1, said
        assert "Traceback" not in said
        (line,) = [line for line in said.splitlines() if line.startswith("selector: ")]
        assert str(disk) in line
        assert "can't be written: the disk is full: make room, then the same command goes on" in line
    assert not list(disk.rglob("*.tmp"))
    before = {path: path.stat().st_ino for path in disk.glob("store/*/0*.parquet")}
    assert mounted(disk, "size=100m")
    selector(*command)
    assert before.items() <= {path: path.stat().st_ino for path in disk.glob("store/*/0*.parquet")}.items()
    assert same(contents(disk / "store"), contents(undisturbed))


def test_a_store_that_turns_read_only_is_one_line_and_goes_on_when_it_can_be_written(
    data: Path, undisturbed: Path, server: str, disk: Path
) -> None:
    store = disk / "store"
    command = ("score", data, "--store", store, *SETTINGS, "--server", server)
    with start(*command) as process:
        wait_for(lambda: len(list(store.glob("images/0*.parquet"))) >= 3, "commits")
        wait_for(lambda: mounted(disk, "ro"), "a moment at which no file is open")
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 1, said
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("selector: ")]
    assert str(store) in line
    assert "the file system can't be written to" in line
    found = json.loads(selector("status", "--store", store, "--json").stdout)
    assert 3 * 2 <= found["images"]["done"] < 48
    refused = selector(*command, code=2)
    assert "the file system can't be written to" in refused.stderr
    assert mounted(disk, "rw")
    selector(*command)
    assert same(contents(store), contents(undisturbed))
    assert mounted(disk, "ro")
    assert json.loads(selector("status", "--store", store, "--json").stdout)["left"] == 0
