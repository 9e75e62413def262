"""How many rows a second are answered now: over the last seconds, not since the start."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 30.0


class Rate:
    """Counts rows by the second. clock: seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds: deque[tuple[int, int]] = deque()

    def count(self, rows: int) -> None:
        """So many rows were answered."""
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second:
            rows += self._seconds.pop()[1]
        self._seconds.append((second, rows))
        self._forget()

    def per_second(self) -> float:
        """Rows a second of the last WINDOW_S seconds, or of all of them while they are fewer."""
        self._forget()
        return sum(rows for _, rows in self._seconds) / max(1.0, min(WINDOW_S, self._clock() - self._started))

    def _forget(self) -> None:
        while self._seconds and self._seconds[0][0] <= self._clock() - WINDOW_S:
            self._seconds.popleft()
