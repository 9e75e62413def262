"""Signals at small programs that listen as the command does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAD = """
import asyncio, os, signal, sys, time
from selector.console import endings
def told(number=signal.SIGTERM): os.kill(os.getpid(), number)
"""
TAIL = """
try:
    with endings.told():
        endings.listen()
        body()
except endings.Ended as ended:
    print(ended, ended.exit_code)
"""


def program(body: str) -> subprocess.CompletedProcess[str]:
    code = HEAD + body + TAIL
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_runs_what_is_to_be_closed_and_is_the_end(number: str, code: int) -> None:
    done = program(f"""
def body():
    try:
        told(signal.{number})
        time.sleep(60)
    finally:
        print("closed")
""")
    assert (done.stdout, done.stderr) == (f"closed\nended by {number} {code}\n", "")


def test_ctrl_c_is_called_an_interruption() -> None:
    assert program("def body(): told(signal.SIGINT); time.sleep(60)").stdout == "interrupted 130\n"


def test_an_error_that_a_signal_brings_about_is_the_signal() -> None:
    """A server that the same signal ended, for one."""
    done = program("""
def body():
    try:
        told()
        time.sleep(60)
    except KeyboardInterrupt:
        raise ValueError("the server is gone")
""")
    assert (done.stdout, done.stderr) == ("ended by SIGTERM 143\n", "")


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"], ids=["", "SIGINT ignored"])
def test_in_an_event_loop_every_task_closes_what_it_holds(before: str) -> None:
    """Without a task whose exception nobody retrieved."""
    done = program(f"""
{before}
async def hold(name):
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        print("closed", name)

async def main():
    other = asyncio.create_task(hold("other"))
    asyncio.get_running_loop().call_later(0.05, told)
    try:
        await hold("main")
    finally:
        await asyncio.gather(other, return_exceptions=True)

def body(): asyncio.run(main())
""")
    assert sorted(done.stdout.splitlines()) == ["closed main", "closed other", "ended by SIGTERM 143"]
    assert done.stderr == ""


def test_what_was_ignored_at_the_start_stays_ignored_for_children_too() -> None:
    done = program("""
import subprocess
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def body():
    told(signal.SIGHUP)
    subprocess.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGHUP); print('lives')"])
""")
    assert (done.stdout, done.stderr) == ("lives\n", "")


def test_a_second_signal_ends_at_once() -> None:
    done = program("""
def body():
    try:
        told()
        time.sleep(60)
    finally:
        until = time.monotonic() + 2 * endings.SAME_S
        while time.monotonic() < until: pass
        told(signal.SIGINT)
        time.sleep(60)
""")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_signal_that_meets_a_destructor_is_not_lost() -> None:
    """Python drops what is raised there."""
    done = program("""
class Slow:
    def __del__(self):
        told()
        for _ in range(1000): pass

def body():
    slow = Slow()
    del slow
    time.sleep(60)
""")
    assert (done.stdout, done.stderr) == ("ended by SIGTERM 143\n", "")


def test_other_errors_of_destructors_are_shown_as_ever() -> None:
    done = program("""
class Bad:
    def __del__(self): raise ValueError("bad destructor")

def body():
    Bad()
""")
    assert "ValueError: bad destructor" in done.stderr


def test_a_signal_waits_for_a_library_of_c_to_be_imported() -> None:
    """numpy prints a traceback of its own for what is raised in its C code, and calls it an ImportError."""
    done = program("""
class ExtensionFileLoader:
    def exec_module(self):
        told()
        for _ in range(1000): pass
        print("imported")

def body():
    ExtensionFileLoader().exec_module()
    time.sleep(60)
""")
    assert (done.stdout, done.stderr) == ("imported\nended by SIGTERM 143\n", "")
