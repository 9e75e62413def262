"""A flag with a secret reaches the server and no process list."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from client.embedded import supervisor
from client.embedded.supervisor import HIDDEN, Supervisor
from tests.integration.processes import until

SECRET = ("--key=open-sesame", "--other=s3same")
TELLS = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(60)"


def spec(folder: Path) -> dict[str, Any]:
    """Of a Python that prints its arguments in a server's place."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    command = [sys.executable, "-c", TELLS, "--plain=1"]
    return {
        "command": command, "secret_flags": SECRET, "log": str(folder / "log"), "run_folder": str(folder), "token": folder.name,
        "parent": os.getppid(), "lock_fd": lock, "grace_s": 0.1,
    }  # fmt: skip


def test_a_secret_flag_is_an_argument_that_no_process_list_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A supervisor ends every child of its process at its end: here they are those of the tests.
    monkeypatch.setattr(supervisor, "_children", lambda *_: [])
    supervised = Supervisor(asked := spec(tmp_path))
    try:
        pid = json.loads((tmp_path / "status.json").read_text())["pid"]
        # From the first moment: the program has not printed anything yet.
        shown = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        assert shown == [*asked["command"], HIDDEN, HIDDEN]
        until(lambda: "open-sesame" in (tmp_path / "log").read_text(), "the program's own view")
        assert (tmp_path / "log").read_text() == f"{['--plain=1', *SECRET]}\n"
        assert Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1] == shown
        assert Path(f"/proc/{pid}/environ").stat().st_mode & 0o077 == 0
    finally:
        supervised._stop()
        os.close(asked["lock_fd"])


def test_where_nothing_can_be_hidden_no_server_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbids:
        prctl = staticmethod(lambda *_: 0)
        ptrace = staticmethod(lambda *_: -1)

    monkeypatch.setattr(supervisor, "_libc", Forbids)
    asked = spec(tmp_path)
    with pytest.raises(SystemExit):
        Supervisor(asked)
    os.close(asked["lock_fd"])
    said = (tmp_path / "log").read_text()
    assert said.startswith("selector: this system allows no ptrace")
    assert "kernel.yama.ptrace_scope" in said
    assert "open-sesame" not in said
