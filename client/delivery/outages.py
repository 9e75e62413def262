"""Says that no server answers: which, why, for how long, and how long it is waited for.

A server that is gone is known by its ejection. One that stands still is not: rows are waited for much longer than a
person likes to be left alone, so one that is silent is asked whether it is ready, which a busy server answers too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager

from client.delivery.replica import Replica
from client.wire import WireError

POLL_S = 0.5
SILENT_S, ASK_S = 1.5, 1.5
"""A replica that holds rows is asked after such a silence, and has so long to answer."""
FIRST_S, AGAIN_S = 2.5, 60.0
"""How long no server has answered when that is said first, and after how long again."""


class Outage:
    """The lines of one outage after another. gives_up_s: how long a client waits for a server."""

    def __init__(self, gives_up_s: float) -> None:
        self._gives_up_s = gives_up_s
        self._began = 0.0
        self._told: float | None = None

    def line(self, now: float, heard: float, answering: Sequence[str], reasons: Sequence[str]) -> str:
        """What is to be said now, mostly nothing.

        heard: when the last sign of any server came. answering: addresses; reasons: of those that do not answer.
        """
        if answering:
            told, self._told = self._told, None
            return "" if told is None else f"{', '.join(answering)} answers again after {now - self._began:.0f} s"
        if now - heard < FIRST_S or (self._told is not None and now - self._told < AGAIN_S):
            return ""
        if self._told is None:
            self._began = heard
        still, self._told = "" if self._told is None else "still ", now
        return (
            f"{still}no server answers for {now - self._began:.0f} s ({'; '.join(reasons)}): waiting for up to "
            f"{self._gives_up_s:g} s until one is back"
        )


@asynccontextmanager
async def told_of_outages(
    replicas: Callable[[], Sequence[Replica]], gives_up_s: float, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """While the body runs, `say` gets a line when no replica answers, every minute of that, and when one is back; and when one
    joins or leaves. replicas: those of now."""
    watch = asyncio.create_task(_watch(replicas, gives_up_s, say))
    try:
        yield
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch


async def _watch(replicas: Callable[[], Sequence[Replica]], gives_up_s: float, say: Callable[[str], None]) -> None:
    clock = asyncio.get_running_loop().time
    outage, now = Outage(gives_up_s), replicas()
    heard, rows = dict.fromkeys(now, clock()), {replica: replica.rows for replica in now}
    away = {replica for replica in now if not replica.ready}
    if away and len(away) < len(now):
        told = "; ".join(_reason(replica) for replica in now if replica in away)
        say(f"{len(away)} of {len(now)} servers are not there, and join when they are ({told})")
    while True:
        await asyncio.sleep(POLL_S)
        before, now = now, replicas()
        away = {replica for replica in now if replica in away or replica not in before}
        for line in _changes(before, now, away):
            say(line)
        away = {replica for replica in away if not replica.ready}
        for replica in now:
            if replica not in heard or (replica.ready and (replica.in_flight == 0 or replica.rows != rows[replica])):
                heard[replica], rows[replica] = clock(), replica.rows
        silent = [r for r in now if r.ready and clock() - heard[r] >= SILENT_S]
        for replica, answers in zip(silent, await asyncio.gather(*map(_answers, silent)), strict=True):
            if answers:
                heard[replica] = clock()
        # One that was heard a moment ago is not yet known to be silent.
        answering = [r for r in now if r.ready and clock() - heard[r] < SILENT_S]
        reasons = [_reason(r) for r in now if r not in answering]
        last = max((heard[r] for r in now), default=0.0)
        if line := outage.line(clock(), last, [r.connection.address for r in answering], reasons):
            say(line)


def _changes(before: Sequence[Replica], now: Sequence[Replica], away: Collection[Replica]) -> Iterator[str]:
    """Lines on who came and who went. away: those that were not there yet."""
    yield from (f"{replica.connection.address} joined" for replica in now if replica in away and replica.ready)
    yield from (f"{replica.connection.address} left" for replica in before if replica not in now)


async def _answers(replica: Replica) -> bool:
    try:
        return await replica.connection.ready(ASK_S)
    except WireError:
        return False


def _reason(replica: Replica) -> str:
    if replica.ready:
        return f"{replica.connection.address} is silent"
    return " ".join(replica.reason.split())
