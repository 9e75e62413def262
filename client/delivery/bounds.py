"""Bounds on what is held: `Bound` gives out a fixed amount in turn, `Room` says whether an input may be pulled further.

Units are the caller's: rows or bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Bound:
    """Up to `size` units at a time, given out in the order of asking. size is required: unbounded sends hold unbounded
    memory, since a request lives until its response. most_taken: the most that was ever out."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a bound must hold at least 1, not {size}")
        self.size = size
        self.taken = self.most_taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, amount: int) -> AsyncIterator[None]:
        """Holds so much of the bound inside the `with`. Raises ValueError if it can never fit."""
        if not 1 <= amount <= self.size:
            raise ValueError(f"{amount} can't be taken from a bound of {self.size}")
        await self._acquire(amount)
        try:
            yield
        finally:
            self.taken -= amount
            self._admit()

    async def _acquire(self, amount: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (amount, turn)
        self._waiting.append(place)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.taken -= amount  # admitted and cancelled in the same turn of the loop
            else:
                self._waiting.remove(place)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self.taken + self._waiting[0][0] <= self.size:
            amount, turn = self._waiting.popleft()
            self.taken += amount
            self.most_taken = max(self.most_taken, self.taken)
            turn.set_result(None)


class Room:
    """Whether one more row may be pulled: while fewer than `rows` and fewer than `nbytes` are held. What a row weighs is
    known only once it is there, so the bound in bytes is passed by one row at most. For one waiter."""

    def __init__(self, rows: int, nbytes: int) -> None:
        self._most_rows, self._most_bytes = rows, nbytes
        self._rows = self._bytes = 0
        self._open = asyncio.Event()
        self._open.set()

    async def wait(self) -> None:
        """Returns once a row may be pulled."""
        await self._open.wait()

    def add(self, nbytes: int) -> None:
        """A row of so many bytes was pulled."""
        self._count(1, nbytes)

    def remove(self, nbytes: int) -> None:
        """A row of so many bytes was handed on."""
        self._count(-1, -nbytes)

    def _count(self, rows: int, nbytes: int) -> None:
        self._rows += rows
        self._bytes += nbytes
        if self._rows < self._most_rows and self._bytes < self._most_bytes:
            self._open.set()
        else:
            self._open.clear()
