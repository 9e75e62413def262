"""A bound on rows in flight, shared by all streams of a client. Owns nothing but the count and the queue for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Window:
    """Up to `size` rows at a time, given out in the order of asking. size is required: unbounded sends hold unbounded
    memory, since a request lives until its response."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a window must hold at least 1 row, not {size}")
        self.size = size
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, rows: int) -> AsyncIterator[None]:
        """Holds `rows` of the window inside the `with`. Raises ValueError if they can never fit."""
        if not 1 <= rows <= self.size:
            raise ValueError(f"{rows} rows can't be taken from a window of {self.size}")
        await self._acquire(rows)
        try:
            yield
        finally:
            self.taken -= rows
            self._admit()

    async def _acquire(self, rows: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (rows, turn)
        self._waiting.append(place)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.taken -= rows  # admitted and cancelled in the same turn of the loop
            else:
                self._waiting.remove(place)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self.taken + self._waiting[0][0] <= self.size:
            rows, turn = self._waiting.popleft()
            self.taken += rows
            turn.set_result(None)
