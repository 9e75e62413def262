"""Ctrl-C, SIGTERM and SIGHUP at real commands: one clean end, nothing left, and what is ignored stays ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.command import environment
from tests.e2e.left_behind import DEADLINE_S, Started, start
from tests.integration.processes import until

pytestmark = pytest.mark.server

RUN = ("--ipc", 3, "--limit-per-class", 40, "--shard-size", 8)
SERVE = ("serve", "--grpc-port", 0)


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return ignore


def scoring(folder: Path, before: Callable[[], None] | None = None) -> Started:
    """A run that has committed something and is far from its end."""
    started = start(folder, "run", *RUN, "--out", folder / "out", before=before)
    until(lambda: any((folder / "out" / "store" / "images").glob("*.parquet")), "a commit", DEADLINE_S)
    started.note_regions()
    assert started.regions
    return started


def serving(folder: Path, before: Callable[[], None] | None = None) -> Started:
    started = start(folder, *SERVE, before=before)
    until(lambda: "tritonserver 2" in started.stderr(), "the server is up", DEADLINE_S)
    started.note_regions()
    return started


@pytest.mark.parametrize(
    ("number", "tell", "code", "words"),
    [
        (signal.SIGINT, os.killpg, 130, "selector: interrupted; "),
        (signal.SIGTERM, os.kill, 143, "selector: ended by SIGTERM; "),
        (signal.SIGHUP, os.killpg, 129, "selector: ended by SIGHUP; "),
    ],
    ids=["Ctrl-C of a terminal", "SIGTERM", "SIGHUP of a terminal"],
)
def test_a_run_that_is_told_to_end_says_so_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals, tell: Callable[[int, int], None], code: int, words: str
) -> None:
    started = scoring(tmp_path)
    tell(started.process.pid, number)
    assert started.wait() == code, started.stderr()
    started.check_no_traceback()
    assert started.stderr().splitlines()[-1].startswith(words)
    started.check_nothing_left()


def test_the_signal_that_timeout_sends_twice_is_one(tmp_path: Path) -> None:
    started = scoring(tmp_path)
    os.kill(started.process.pid, signal.SIGTERM)
    os.killpg(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    assert "ended by SIGTERM" in started.stderr()
    started.check_nothing_left()


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    """The server is stopped for more than a second, so that the second one finds the clean end under way."""
    started = scoring(tmp_path)
    os.kill(started.process.pid, signal.SIGINT)
    first = time.monotonic()
    until(lambda: time.monotonic() - first > 0.2, "a person presses again")
    os.kill(started.process.pid, signal.SIGINT)
    again = time.monotonic()
    assert started.wait() == 130
    assert time.monotonic() - again < 1
    started.check_no_traceback()
    assert "interrupted" not in started.stderr()
    started.check_nothing_left(within_s=5)


def test_sigterm_ends_a_server_of_a_script_whose_jobs_ignore_sigint(tmp_path: Path) -> None:
    """Ignoring is inherited: by the command, and it would be by the tritonserver, which is stopped by SIGINT."""
    started = serving(tmp_path, before=ignoring(signal.SIGINT))
    os.kill(started.process.pid, signal.SIGINT)
    os.kill(started.process.pid, signal.SIGTERM)
    told = time.monotonic()
    assert started.wait() == 143
    assert time.monotonic() - told < 8, "the server was not stopped by SIGINT, but killed after its 10 s of grace"
    assert started.stderr().splitlines()[-1].startswith("selector: ended by SIGTERM; ")
    started.check_no_traceback()
    started.check_nothing_left()


def test_sigterm_ends_a_run_of_a_script_whose_jobs_ignore_sigint(tmp_path: Path) -> None:
    started = scoring(tmp_path, before=ignoring(signal.SIGINT))
    os.killpg(started.process.pid, signal.SIGINT)
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    started.check_no_traceback()
    started.check_nothing_left()


def test_a_script_ends_its_background_server_with_kill(tmp_path: Path) -> None:
    """As people write it: `selector serve & … kill $!; wait $!`."""
    script = f"""
    {sys.executable} -m selector serve --grpc-port 0 2> {tmp_path}/stderr &
    until grep -q 'tritonserver 2' {tmp_path}/stderr; do :; done
    kill $!
    wait $!
    """
    env = {**environment(), "TMPDIR": str(tmp_path)}
    assert subprocess.run(["sh", "-c", script], env=env, timeout=DEADLINE_S).returncode == 143
    assert "ended by SIGTERM" in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("words", ["", "embedded Triton"], ids=["importing", "server just up"])
def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path, words: str) -> None:
    started = start(tmp_path, "run", *RUN, "--out", tmp_path / "out")
    if words:
        until(lambda: words in started.stderr(), words, DEADLINE_S)
    else:
        until(lambda: "numpy" in Path(f"/proc/{started.process.pid}/maps").read_text(), "numpy is being imported")
    os.killpg(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    started.check_no_traceback()
    started.check_nothing_left()


def test_a_server_that_is_being_started_goes_with_an_interrupted_start(tmp_path: Path) -> None:
    started = start(tmp_path, *SERVE)
    until(lambda: any(p.name() == "tritonserver" for p in started.family()), "tritonserver begins", DEADLINE_S)
    started.note_regions()
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    assert "tritonserver 2" not in started.stderr()
    started.check_no_traceback()
    started.check_nothing_left()


def test_serve_says_that_its_server_died_and_was_started_again(tmp_path: Path) -> None:
    started = serving(tmp_path)
    (server,) = [p for p in started.family() if p.name() == "tritonserver"]
    server.kill()
    until(lambda: "tritonserver died and was started again (1 so far)" in started.stderr(), "a line", 10)
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    started.check_nothing_left()
