"""Targets whose behaviour is known exactly, and counters that count nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from client.bench.probe import Counters


class FakeTarget:
    """Serves one request at a time. service_s: seconds that the request of a number takes once it is its turn."""

    def __init__(self, service_s: Callable[[int], float], *, rows: int = 1, fails: Callable[[int], str] | None = None):
        self.rows = rows
        self._service_s = service_s
        self._fails = fails or (lambda number: "")
        self._engine = asyncio.Lock()
        self.most_in_flight = self._in_flight = 0

    async def send(self, number: int) -> str:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        async with self._engine:
            await asyncio.sleep(self._service_s(number))
        self._in_flight -= 1
        return self._fails(number)


class NoCounters:
    """Reads nothing."""

    async def read(self) -> Counters:
        return Counters(client_cpu_s=0.0)
