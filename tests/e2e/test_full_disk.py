"""Writing fails while a selection is made: one line that names the file, and the same command goes on afterwards."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from tests.e2e.command import environment, picks, selector

pytestmark = pytest.mark.server


def limited(nbytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, which can write no file larger than so many bytes: as a full disk, and for any user."""
    return subprocess.run(
        [sys.executable, "-m", "selector.cli", *map(str, arguments)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, nbytes)),
        capture_output=True,
        text=True,
        timeout=200,
        env=environment(),
        check=False,
    )


def test_a_selection_that_can_not_be_written_is_one_line_and_goes_on_with_room(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("select", "--store", demo / "store", "--ipc", 2, "--out", out)
    named = set()
    for nbytes in (100, 3000, 12_000, 30_000):  # too little for an image, the table, the manifest, the report
        done = limited(nbytes, *command)
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("selector: ")]
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert str(out / "ipc-2") in line
        assert "can't be written: the file would be larger than allowed" in line
        named.add(line.split(" can't")[0])
    assert len(named) > 1, "images and report fail one by one"
    selector(*command)
    assert len(picks(out, 2)) == 20
    assert not list(out.rglob("*.part*"))


def test_a_shard_that_can_not_be_written_is_one_line_and_goes_on_with_room(tmp_path: Path) -> None:
    command = ("score", "--limit-per-class", 1, "--draws", 1, "--store", tmp_path / "store")
    with EmbeddedServer(builtin_repository()) as server:
        done = limited(2000, *command, "--server", server.grpc_url)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"selector: {tmp_path / 'store'}")
    # numpy does not say why it wrote less than it should
    assert "can't be written: the disk is full: make room" in done.stderr.splitlines()[-1]
    selector(*command)


def test_a_server_whose_temporary_files_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    done = limited(500, "run", "--ipc", 1, "--limit-per-class", 1, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the embedded server can't be started" in done.stderr
    assert "make room there, or set TMPDIR" in done.stderr
