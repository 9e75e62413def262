"""One process at a time in a folder: who waits is told for whom, and a dead process holds nothing."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from selector.errors import SelectorError
from selector.folders.locks import LOCK_FILE, held

HOLDER = """
import sys
from pathlib import Path
from selector.folders.locks import held
with held(Path(sys.argv[1]), wait=True, note=print):
    print("in", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the folder until it gets a line or is killed."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "out") as first:
        refused = pytest.raises(SelectorError, match=rf"out is in use by process {first.pid} on .*: wait for it")
        with refused, held(tmp_path / "out", wait=False, note=print):
            pass


def test_a_second_process_waits_with_a_line_and_goes_in_when_the_first_is_killed(tmp_path: Path) -> None:
    said: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def note(text: str) -> None:
        said.append(text)
        waiting.set()

    def second() -> None:
        with held(tmp_path, wait=True, note=note):
            entered.set()

    with holder(tmp_path) as first:
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        assert not entered.is_set()
        first.kill()
        assert entered.wait(30)
        thread.join()
    (line,) = said
    assert f"is in use by process {first.pid} on " in line
    assert "waiting for it to end; --no-wait refuses instead" in line


def test_a_folder_is_free_again_after_the_block_even_if_that_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held(tmp_path / "new" / "out", wait=False, note=print):
        raise KeyError
    with held(tmp_path / "new" / "out", wait=False, note=print):
        assert (tmp_path / "new" / "out" / LOCK_FILE).is_file()


def test_a_file_system_without_locks_is_named_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    said: list[str] = []
    with held(tmp_path, wait=True, note=said.append):
        pass
    assert "file system without locks" in said[0]
