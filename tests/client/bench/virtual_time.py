"""An event loop whose clock jumps to the next timer: hours pass in milliseconds, and the same way every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise AssertionError("every task waits for something that nobody will do")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` is virtual. `busy` is what a loop does that is blocked: the clock goes on, nothing else does."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def busy(self, seconds: float) -> None:
        """Passes so many seconds in which no task can run."""
        self._virtual.now += seconds


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a virtual clock that starts at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
