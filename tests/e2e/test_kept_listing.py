"""Commands one after another on one store: what changed in the data is listed again and said, the rest is taken as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import manifest, selector
from tests.e2e.test_what_is_there import fill

pytestmark = pytest.mark.server


def settle(data: Path) -> None:
    """As if nothing had changed for long."""
    for folder in (data, *(path for path in data.iterdir() if path.is_dir())):
        os.utime(folder, (1_600_000_000, 1_600_000_000))


def test_only_what_changed_is_listed_again_and_what_was_overwritten_is_found(tmp_path: Path, server: str) -> None:
    data, out = fill(tmp_path / "data"), tmp_path / "out"
    settle(data)

    def select(ipc: int, *more: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        return selector("select", "--store", out / "store", "--ipc", ipc, "--out", out, *more, code=code)

    selector("run", data, "--ipc", 3, "--draws", 1, "--out", out, "--server", server)
    assert "changed since they were listed" not in select(2).stderr
    fill(data, "bag", count=6, seed=1)
    said = select(2, code=1).stderr
    assert "1 of 3 parts of the data changed since they were listed: bag" in said
    assert "changed since it was scored" in said, "its first four files were overwritten, and one of them was chosen"
    settle(data)
    selector("run", data, "--ipc", 3, "--draws", 1, "--out", out, "--server", server, "--retry-failed")
    assert manifest(out, 3)["counts"]["seen"] == 10
    (data / "bag" / "extra.png").write_bytes((data / "bag" / "0.png").read_bytes()[:-1] + b"x")
    settle(data)  # a file that no time tells of
    assert manifest(out, 3)["counts"]["unscored"] == 0
    select(2)
    assert manifest(out, 2)["counts"]["unscored"] == 0
    select(2, "--relist")
    assert manifest(out, 2)["counts"]["unscored"] == 1
