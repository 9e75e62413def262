"""Load on a target: a closed loop of so many requests at a time, or an open loop that follows a schedule.

The clock is the event loop's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from client.bench.samples import Sample

MOST_OUTSTANDING = 256
"""Requests of an open loop sent and unanswered at most; further ones wait here, and their latency counts from when they
were due. A bound, since every request in flight holds its payload."""


class Target(Protocol):
    """What is measured. rows: in one request."""

    @property
    def rows(self) -> int:
        """Rows of one request."""

    async def send(self, number: int) -> str:
        """Sends one request and waits for its answer; returns why it failed, or "". Raises what must end the bench."""


class Load:
    """A load while it runs. samples: of every request that has ended, in order of their end."""

    def __init__(self, target: Target) -> None:
        self.samples: list[Sample] = []
        self._target = target
        self._numbers = itertools.count()
        self._ending = asyncio.Event()
        self._ended = asyncio.Event()
        self._failed = asyncio.Event()
        self._error: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def wait_until(self, moment_s: float) -> None:
        """Returns at this moment of the loop's clock; raises what a request raised before it."""
        await _set_within(self._failed, moment_s - asyncio.get_running_loop().time())
        self._raise()

    async def next_end(self) -> float:
        """Waits until a further request has been answered or has failed; returns the moment of its end."""
        seen = len(self.samples)
        while len(self.samples) == seen:
            self._raise()
            self._ended.clear()
            await self._ended.wait()
        return self.samples[seen].done_s

    async def drain(self) -> None:
        """Sends nothing more, and waits for what is in flight; raises what a request raised."""
        self._ending.set()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._raise()

    async def cancel(self) -> None:
        """Ends the load at once and forgets what is in flight; nothing happens after a drain."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start_closed(self, concurrency: int) -> None:
        """Starts workers that each send a request, wait for its answer, and send the next."""
        for _ in range(concurrency):
            self._spawn(self._work())

    def start_open(self, offsets: Iterator[float]) -> None:
        """Starts sending at these seconds from now, whatever becomes of earlier requests."""
        self._spawn(self._follow(offsets))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            await self._request(loop.time())

    async def _follow(self, offsets: Iterator[float]) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(MOST_OUTSTANDING)
        start = loop.time()
        for offset in offsets:
            await room.acquire()
            await _set_within(self._ending, start + offset - loop.time())
            if self._ending.is_set():
                return
            self._spawn(self._request(start + offset)).add_done_callback(lambda _: room.release())

    async def _request(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        error = await self._target.send(next(self._numbers))
        self.samples.append(Sample(due, sent, loop.time(), error))
        self._ended.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._failed.set()
            self._ended.set()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


@asynccontextmanager
async def closed_loop(target: Target, concurrency: int) -> AsyncIterator[Load]:
    """So many requests in flight at any time; a slow target is sent fewer. Drained at the end of the `with`."""
    async with _running(target) as load:
        load.start_closed(concurrency)
        yield load


@asynccontextmanager
async def open_loop(target: Target, offsets: Iterator[float]) -> AsyncIterator[Load]:
    """Requests at these seconds from now; a slow target is sent as many. Drained at the end of the `with`."""
    async with _running(target) as load:
        load.start_open(offsets)
        yield load


@asynccontextmanager
async def _running(target: Target) -> AsyncIterator[Load]:
    load = Load(target)
    try:
        yield load
        await load.drain()
    finally:
        await load.cancel()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set or the seconds are over."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
