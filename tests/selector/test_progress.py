"""Progress off a terminal."""

from __future__ import annotations

import io

from selector.progress import Progress


def test_off_a_terminal_a_stage_ends_with_one_plain_line() -> None:
    stream = io.StringIO()
    with Progress(stream=stream).stage("features", 3, "patches") as advance:
        advance(1)
        advance(2)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("features: 3/3 patches in ")
    assert "\x1b" not in line


def test_a_quiet_run_prints_nothing() -> None:
    stream = io.StringIO()
    progress = Progress(quiet=True, stream=stream)
    progress.note("hello")
    with progress.stage("features", 3, "patches") as advance:
        advance(3)
    assert stream.getvalue() == ""
