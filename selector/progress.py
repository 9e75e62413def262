"""Progress on stderr: one rich bar per stage on a terminal, plain lines off it, nothing when silenced."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as RichProgress,
)

Advance = Callable[[int], None]


class Progress:
    """Opens stages; a stage is a context manager that yields `advance(count)`.

    A bar is drawn if `stream` is a terminal, otherwise at most one line every `line_every_s` seconds.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, line_every_s: float = 10.0) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._line_every_s = line_every_s
        self._drawn: Console | None = None

    def note(self, text: str) -> None:
        """One line for the person who watches."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line about what was lost, is waited for or was asked for, which no silence hides; above a bar if one is drawn."""
        if self._drawn is not None:
            self._drawn.out(text, highlight=False)
            return
        self._stream.write(text + "\n")
        self._stream.flush()

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """A stage of `total` units; the rate is shown in units per second."""
        if self._quiet or total == 0:
            yield _ignore
        elif self._stream.isatty():
            with self._bar(name, total, unit) as advance:
                yield advance
        else:
            yield from self._lines(name, total, unit)

    @contextmanager
    def _bar(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with self._console() as console, RichProgress(*columns, console=console) as bar:
            started = time.monotonic()
            task = bar.add_task(f"{name:<10}", total=total, pace="")
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bar.update(task, completed=done, pace=pace(done, time.monotonic() - started, f" {unit}"))

            yield advance

    @contextmanager
    def _console(self) -> Iterator[Console]:
        self._drawn = Console(file=self._stream)
        try:
            yield self._drawn
        finally:
            self._drawn = None

    def _lines(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        started = last = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            now = time.monotonic()
            if now - last >= self._line_every_s:
                last = now
                elapsed = now - started
                left = (total - done) * elapsed / done
                self.note(f"{name}: {done}/{total} {unit}, {pace(done, elapsed)}, {left:.0f} s left")

        yield advance
        elapsed = time.monotonic() - started
        self.note(f"{name}: {done}/{total} {unit} in {elapsed:.1f} s ({pace(done, elapsed)})")


def pace(done: int, elapsed_s: float, unit: str = "") -> str:
    """How many a second; of what takes longer, the seconds of each."""
    rate = done / max(elapsed_s, 1e-9)
    return f"{rate:.1f}{unit}/s" if rate >= 1 or not done else f"{elapsed_s / done:.1f} s each"


def _ignore(_: int) -> None:
    return None
