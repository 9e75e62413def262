"""Streams that are closed, full or gone: no message that can't be written changes what a command does or how it ends."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command import environment, picks, selector

LIMIT_S = 120


@contextmanager
def closed() -> Iterator[str]:
    yield "&-"


@contextmanager
def full() -> Iterator[str]:
    yield "/dev/full"


@contextmanager
def readerless() -> Iterator[str]:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    os.close(reading)
    try:
        yield f"&{writing}"
    finally:
        os.close(writing)


@contextmanager
def vanished() -> Iterator[str]:
    """A terminal whose window was closed."""
    ours, theirs = pty.openpty()
    os.set_inheritable(theirs, True)
    os.close(ours)
    try:
        yield f"&{theirs}"
    finally:
        os.close(theirs)


WAYS = {"closed": closed, "full": full, "readerless": readerless, "vanished": vanished}


def shell(command: str, redirection: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs `selector COMMAND` with a redirection of bash, which knows descriptors above 9."""
    line = f'exec "$0" -m selector {command} {redirection}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable],
        capture_output=True, text=True, timeout=LIMIT_S, env=environment(), close_fds=False, **more,
    )  # type: ignore[call-overload,no-any-return]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("command", "code"), [("--version", 0), ("select --help", 0), ("run --ipc 0", 2), ("select", 2)]
)
def test_the_exit_code_is_as_ever_where_nothing_can_be_said(command: str, code: int, way: str) -> None:
    with WAYS[way]() as target:
        assert shell(command, f"<&- >{target} 2>{target}").returncode == code


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("closed", "it is closed"),
        ("full", "No space left on device"),
        ("readerless", "Broken pipe"),
        ("vanished", "Input/output error"),
    ],
)
def test_a_result_that_can_not_be_printed_is_one_line_on_stderr(way: str, reason: str) -> None:
    with WAYS[way]() as target:
        done = shell("--version", f">{target}")
    assert done.returncode == 0
    assert done.stderr == f"selector: the result could not be printed on stdout: {reason}\n"


def test_a_stream_that_does_not_block_gets_everything() -> None:
    """A terminal or pipe may be shared with a program that set it so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    code = "from selector.console import streams; import sys; streams.prepare(); print('x' * 500_000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writing, env=environment()) as process:
        os.close(writing)
        with os.fdopen(reading) as stream:
            assert stream.read() == "x" * 500_000 + "\n"
    assert process.returncode == 0


def test_a_name_that_is_no_text_can_be_printed() -> None:
    """File names are bytes; any of them may end up in a message."""
    code = "from selector.console import streams; import sys; streams.prepare(); print('caf\\udce9')"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, env=environment())
    assert (done.returncode, done.stdout) == (0, b"caf\xe9\n")


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """A store's file on descriptor 2 would get the messages of this process and of its children."""
    code = (
        "from selector.console import streams; streams.prepare(); import os, subprocess; file = open('file', 'w');"
        "os.write(2, b'message'); subprocess.run(['sh', '-c', 'echo message >&2; echo message']); assert file.fileno() > 2"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.server
@pytest.mark.parametrize("way", WAYS)
def test_a_whole_run_with_no_stream_left_is_as_any_other(demo: Path, tmp_path: Path, way: str) -> None:
    with WAYS[way]() as target:
        done = shell(f"run --ipc 3 --limit-per-class 8 --out {tmp_path}/out", f"<&- >{target} 2>{target}")
    assert done.returncode == 0
    assert picks(tmp_path / "out", 3) == picks(demo, 3)


@pytest.mark.server
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", ["select", "report"])
def test_what_works_on_a_store_does_not_need_a_stream(demo: Path, tmp_path: Path, command: str, way: str) -> None:
    out = shutil.copytree(demo, tmp_path / "out")
    (out / "ipc-3" / "report.html").unlink()
    with WAYS[way]() as target:
        done = shell(f"{command} --store {out}/store --ipc 3 --out {out}", f"<&- >{target} 2>{target}")
    assert done.returncode == 0
    assert (out / "ipc-3" / "report.html").is_file()


@pytest.mark.server
def test_a_job_that_ignores_hangups_survives_its_terminal(demo: Path, tmp_path: Path) -> None:
    """As with nohup or disown: the terminal goes while a bar is drawn on it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "selector", "run", "--ipc", "3", "--limit-per-class", "8", "--shard-size", "8",
         "--out", str(tmp_path / "out")],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"typicality" not in shown:
        shown += os.read(ours, 1000)
    os.kill(process.pid, signal.SIGHUP)
    os.close(ours)
    assert process.wait(LIMIT_S) == 0
    assert picks(tmp_path / "out", 3) == picks(demo, 3)


@pytest.mark.server
def test_a_bench_whose_table_nobody_reads_ends_well() -> None:
    command = "bench --model vae_encoder --batch-size 1 --concurrency 1 --window 0.1 --max-windows 3"
    done = shell(command, ">/dev/full")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "selector: the result could not be printed on stdout: No space left on device"
    )


def test_the_doctor_ends_by_what_it_found() -> None:
    healthy = selector("doctor")
    assert healthy.stdout
    assert shell("doctor", ">/dev/full 2>/dev/full").returncode == 0
