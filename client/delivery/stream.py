"""One call of `score`: rows pulled from an iterable, packed, delivered, and handed on as they are answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

from client.delivery.bounds import Room
from client.delivery.packing import Batch, Packer
from client.errors import ClientError
from client.rows import Result, Row

Rows = Iterable[Row] | AsyncIterable[Row]

LONGEST_TURN_S = 0.001
"""How long rows are pulled and packed before other tasks have a turn, though no batch is full."""


class Stream:
    """Results of `rows` in completion order.

    check: raises on a row that can't be sent. deliver: answers a batch. batch_rows: model → rows of a full batch.
    row_bytes: model → what a row weighs. linger_s: how long a partial batch waits for more rows. room: bounds the rows
    taken from the iterable and not yet handed on.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        check: Callable[[Row], None],
        deliver: Callable[[Batch], Awaitable[list[Result]]],
        batch_rows: Callable[[str], int],
        row_bytes: Callable[[str], int],
        linger_s: float,
        room: Room,
    ) -> None:
        self._rows = rows
        self._check = check
        self._deliver = deliver
        self._linger_s = linger_s
        self._packer = Packer(batch_rows)
        self._row_bytes = row_bytes
        self._room = room
        self._results: deque[tuple[Result, int]] = deque()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self.unanswered = 0
        """Rows taken from the iterable that have no result yet."""
        self._starved = False
        """Whether the feed waits for the iterable or for room, so that no row is about to come."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yields until every row has its result; raises what stopped the call. Leaves no task, however it ends."""
        self._spawn(self._feed())
        try:
            while True:
                while self._results:
                    result, weight = self._results.popleft()
                    self._room.remove(weight)
                    yield result
                if self._error is not None:
                    raise self._error
                if not self._tasks and not self._timers:
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancels what is in flight; a consumer that still waits is told."""
        self._error = self._error or ClientError("the client was closed while rows were in flight")
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._changed.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        turned = loop.time()
        async with aclosing(_aiter(self._rows)) as rows:
            while True:
                self._starved = True
                await self._room.wait()
                try:
                    row = await anext(rows)
                except StopAsyncIteration:
                    break
                self._starved = False
                self._check(row)
                self.unanswered += 1
                self._room.add(self._row_bytes(row.model))
                # A plain iterable never waits: let a batch that is full be sent, and others have their turn. After
                # every row that cost half of what this class does for it.
                if self._pack(row) or loop.time() - turned > LONGEST_TURN_S:
                    await asyncio.sleep(0)
                    turned = loop.time()
        for batch in self._packer.take_all():
            self._send(batch)

    def _pack(self, row: Row) -> bool:
        """Whether the row filled a batch, which is about to be sent."""
        batch = self._packer.add(row)
        if batch is not None:
            self._send(batch)
        elif row.model not in self._timers:
            self._linger(row.model)
        return batch is not None

    def _linger(self, model: str) -> None:
        self._timers[model] = asyncio.get_running_loop().call_later(self._linger_s, self._flush, model)

    def _flush(self, model: str) -> None:
        if not self._starved:
            self._linger(model)  # rows are coming, however slowly this loop turns: a fuller batch is worth the wait
            return
        batch = self._packer.take(model)
        if batch is not None:
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        timer = self._timers.pop(batch.model, None)
        if timer is not None:
            timer.cancel()
        self._spawn(self._answer(batch))

    async def _answer(self, batch: Batch) -> None:
        weight = self._row_bytes(batch.model)
        results = await self._deliver(batch)
        self.unanswered -= len(results)
        self._results.extend((result, weight) for result in results)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()  # asked for even if another one came first: else asyncio prints it
            self._error = self._error or error
        self._changed.set()


async def _aiter(rows: Rows) -> AsyncGenerator[Row, None]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
