"""Progress off a terminal."""

from __future__ import annotations

import io

from selector.progress import Progress, pace


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


def test_what_takes_longer_than_a_second_is_told_in_seconds_of_each() -> None:
    """As a row of a large model on a few cores; "0.1/s" says little, and "0.0/s" nothing."""
    assert pace(24, 222.5) == "9.3 s each"
    assert pace(24, 12.0) == "2.0/s"
    assert pace(24, 12.0, " UNet rows") == "2.0 UNet rows/s"
    assert pace(0, 3.0) == "0.0/s"
