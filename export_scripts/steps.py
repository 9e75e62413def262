"""What an export did, step by step: said as it happens, and kept with seconds and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One finished step. peak_bytes: largest resident memory of the process up to its end, or of the step's own one."""

    what: str
    model: str
    seconds: float
    peak_bytes: int


@dataclass
class Note:
    """What a step says of itself while it runs. peak_bytes: of a process of its own, if it had one."""

    peak_bytes: int | None = None


@dataclass
class Steps:
    """The steps of one export, in order. say: whether they are told on stderr."""

    say: bool = True
    done: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, what: str, model: str = "") -> Iterator[Note]:
        """Times the body, and records it if it ends well."""
        start, note = time.monotonic(), Note()
        yield note
        peak = note.peak_bytes or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.done.append(Step(what, model, time.monotonic() - start, peak))
        last = self.done[-1]
        self.tell(f"{model or 'repository'}: {what}, {last.seconds:.1f} s, peak {peak / 1e9:.1f} GB")

    def tell(self, line: str) -> None:
        """One line for whoever waits."""
        if self.say:
            print(line, file=sys.stderr, flush=True)
