"""Worker processes while their parent and its whole group get signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys, time
from selector.processes import begin_work, process_pool
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
def own_pid():
    time.sleep(0.1)
    return os.getpid()
if __name__ == "__main__":
    with process_pool(2, begin_work) as pool:
        begun = set()
        while sys.argv[1] == "working" and len(begun) < 2:
            begun |= {work.result() for work in [pool.submit(own_pid) for _ in range(2)]}
        works = [pool.submit(time.sleep, 0.3) for _ in range(4)]
        os.killpg(os.getpid(), getattr(signal, sys.argv[2]))
        for work in works:
            work.result()
        print(pool.submit(pow, 2, 5).result())
"""
KILLED = """
import os, signal, time
from selector.processes import begin_work, process_pool
if __name__ == "__main__":
    with process_pool(2, begin_work) as pool:
        pool.submit(time.sleep, 0).result()
        os.kill(os.getpid(), signal.SIGKILL)
"""
BROKEN = """
import os, signal, time
from selector.errors import SelectorError
from selector.processes import begin_work, process_pool
if __name__ == "__main__":
    try:
        with process_pool(2, begin_work) as pool:
            pool.submit(pow, 2, 5).result()
            pool.submit(os._exit, 9).result()
    except SelectorError as error:
        print(error)
"""


def program(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a group of its own; returns when the last process that holds its stderr has ended."""
    file = folder / "program.py"
    file.write_text(code)
    return subprocess.run(
        [sys.executable, str(file), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_pool_works_on_though_its_whole_group_is_signalled(tmp_path: Path, number: str) -> None:
    """What becomes of the command is its parent's to decide."""
    done = program(tmp_path, PROGRAM, "working", number)
    assert (done.stdout, done.stderr, done.returncode) == ("32\n", "", 0)


@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP"])
def test_processes_that_are_just_starting_do_not_mind_the_terminal_either(tmp_path: Path, number: str) -> None:
    done = program(tmp_path, PROGRAM, "starting", number)
    assert (done.stdout, done.stderr, done.returncode) == ("32\n", "", 0)


def test_a_killed_parent_takes_its_workers_along_without_a_word(tmp_path: Path) -> None:
    """Not even of semaphores that were left: the tracker removes them, which is what it is for."""
    done = program(tmp_path, KILLED)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")


def test_a_worker_that_was_killed_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    done = program(tmp_path, BROKEN)
    assert "was killed, mostly for want of memory" in done.stdout
    assert "fewer --workers" in done.stdout
    assert done.stderr == ""
