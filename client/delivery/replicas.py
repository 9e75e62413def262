"""The servers of a client: which one gets the next batch, which are out, and how they come back.

A batch goes to the replica with the least outstanding work that has room; batches wait in the order of asking. A
replica that fails, or whose connection is lost, is ejected and gets nothing until a probe (with backoff) finds it ready
and of the same contract: another server may stand at its address by then, and a value of another model would be a wrong
value.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, field
from random import Random
from typing import Any

from client.delivery.patience import Backoff
from client.delivery.replica import Replica
from client.errors import ClientError, ServerError
from client.statistics import ReplicaStatistics, Sharing
from client.wire import Connection, WireError

STRIKES = 3
"""Failures in a row after which a replica is ejected, where one alone proves nothing."""

Probe = Callable[[Connection], Awaitable[None]]
"""Raises ServerError if a server is not ready, another ClientError if it is not what the run began with."""


@dataclass(eq=False)
class _Waiter:
    rows: int
    avoid: Replica | None
    turn: asyncio.Future[Replica] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Fleet:
    """The replicas of a client, inside a running event loop; close it there.

    patience_s: how long batches wait while no replica is ready. backoff: between probes.
    """

    def __init__(self, replicas: Sequence[Replica], probe: Probe, backoff: Backoff, patience_s: float) -> None:
        self._replicas = list(replicas)
        self._left: list[Replica] = []
        self._turns = list(replicas)
        # in the order in which equals are chosen: the last chosen comes last
        self._probe = probe
        self._backoff = backoff
        self._patience_s = patience_s
        self._random = Random()  # for jitter alone
        self._waiting: deque[_Waiter] = deque()
        self._dark: asyncio.TimerHandle | None = None
        self._stopped: BaseException | None = None
        self.golden_failures = 0  # probes that found other answers than the models were exported with
        self._tasks: set[asyncio.Task[None]] = set()
        for replica in replicas:
            if not replica.ready:  # at the start
                self.spawn(self._readmit(replica))

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those of now."""
        return tuple(self._replicas)

    def add(self, replica: Replica) -> None:
        """A further replica, which gets rows as soon as a probe finds it."""
        replica.ready = False
        self._replicas.append(replica)
        self._turns.append(replica)
        self.spawn(self._readmit(replica))

    def remove(self, replica: Replica) -> None:
        """No further row goes to the replica; what it holds is answered, or goes elsewhere if it fails."""
        self._replicas.remove(replica)
        self._turns.remove(replica)
        self._left.append(replica)
        self._mind_the_dark()

    async def close(self) -> None:
        """Ends the probes."""
        if self._dark is not None:
            self._dark.cancel()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def statistics(self) -> tuple[ReplicaStatistics, ...]:
        """One record per replica, in the order of the configuration."""
        return tuple(
            ReplicaStatistics(
                address=r.connection.address,
                state="ready" if r.ready else "ejected",
                reason=r.reason,
                in_flight=r.in_flight,
                bound=r.bound.limit,
                rows=r.rows,
                requests=r.requests,
                failed=r.failed,
                ejections=r.ejections,
            )
            for r in self._replicas
        )

    @property
    def in_flight(self) -> int:
        """Rows sent and not yet answered."""
        return sum(replica.in_flight for replica in (*self._replicas, *self._left))

    @property
    def several(self) -> bool:
        """Whether there is more than one replica."""
        return len(self._replicas) > 1

    @property
    def bytes_sent(self) -> int:
        """Of inferences' requests."""
        return sum(replica.connection.bytes_sent for replica in (*self._replicas, *self._left))

    @property
    def bytes_received(self) -> int:
        """Of inferences' responses."""
        return sum(replica.connection.bytes_received for replica in (*self._replicas, *self._left))

    @property
    def sharing(self) -> Sharing:
        """What went by shared memory."""
        each = [replica.connection.sharing() for replica in (*self._replicas, *self._left)]
        return Sharing(*(sum(counts) for counts in zip(*map(astuple, each), strict=True)))

    def others_ready(self, replica: Replica) -> bool:
        """Whether a batch could go elsewhere."""
        return any(other.ready for other in self._replicas if other is not replica)

    @asynccontextmanager
    async def lease(self, rows: int, *, avoid: Replica | None, again: bool) -> AsyncIterator[Replica]:
        """A replica with room for so many rows, which it holds inside the `with`.

        avoid: not this one while another is ready. again: a retry, which goes before those that wait for their first
        attempt. Raises WireError if no replica is ready for patience_s, and a ClientError if one came back as another
        than it was.
        """
        replica = await self._acquire(_Waiter(rows, avoid), again)
        try:
            yield replica
        finally:
            replica.in_flight -= rows
            self._admit()

    def answered(self, replica: Replica, rows: int, now: float) -> None:
        """Counts an answer; it may widen the replica's bound."""
        replica.rows += rows
        replica.strikes = replica.setbacks = replica.refusals = 0
        replica.bound.answered(rows, now, pressed=bool(self._waiting))

    def struck(self, replica: Replica, reason: str, *, gone: bool) -> None:
        """Counts a failure; ejects the replica if it is `gone`, or has failed STRIKES times in a row."""
        replica.failed += 1
        replica.strikes += 1
        if gone or replica.strikes >= STRIKES:
            self._eject(replica, reason)

    def refused(self, replica: Replica, sent: float, now: float) -> None:
        """Counts a request that the replica's full queue refused: its bound narrows, and it gets nothing for a while.

        Were only the refused batch to wait, the next one in line would run into the same queue at once.
        """
        replica.failed += 1
        replica.bound.halve(sent, now)
        if not replica.paused:
            replica.paused = True
            replica.refusals += 1
            self.spawn(self._resume(replica))

    async def _resume(self, replica: Replica) -> None:
        await asyncio.sleep(self._backoff.wait_s(replica.refusals - 1, self._random))
        replica.paused = False
        self._admit()

    def outrun(self, replica: Replica, now: float) -> None:
        """Counts a replica that was overtaken by a hedge: it gets less from now on."""
        replica.bound.halve(now, now)
        self.struck(replica, "much slower than the other replicas", gone=False)

    async def _acquire(self, waiter: _Waiter, again: bool) -> Replica:
        if self._stopped is not None:
            raise self._stopped
        if again:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self._admit()
        self._mind_the_dark()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                waiter.turn.result().in_flight -= waiter.rows  # admitted and cancelled in the same turn of the loop
                self._admit()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                self._admit()
            raise

    def _admit(self) -> None:
        """Gives room to those who wait, in their order; one that avoids a replica does not hold up those behind it."""
        for replica in self.replicas:
            if self._waiting and replica.ready and not replica.connection.connected():
                self._eject(replica, "the connection was lost")
        passed: list[_Waiter] = []
        while self._waiting:
            waiter = self._waiting[0]
            open_to = [r for r in self._turns if r.has_room(waiter.rows)]
            if not open_to:
                break
            self._waiting.popleft()
            if waiter.turn.done():  # cancelled, and not yet removed by its own task
                continue
            if waiter.avoid is not None and self.others_ready(waiter.avoid):
                open_to = [r for r in open_to if r is not waiter.avoid]
            if not open_to:
                passed.append(waiter)
                continue
            replica = min(open_to, key=lambda r: r.in_flight)
            self._turns.remove(replica)
            self._turns.append(replica)
            replica.in_flight += waiter.rows
            replica.requests += 1
            waiter.turn.set_result(replica)
        self._waiting.extendleft(reversed(passed))

    def _eject(self, replica: Replica, reason: str) -> None:
        replica.reason = reason
        replica.strikes = 0
        if replica.ready and replica in self._replicas:
            replica.ready = False
            replica.ejections += 1
            replica.setbacks += 1
            self.spawn(self._readmit(replica))
            self._admit()  # what avoided another one may go there now
            self._mind_the_dark()

    async def _readmit(self, replica: Replica) -> None:
        attempt = replica.setbacks - 1
        while replica in self._replicas:
            await asyncio.sleep(self._backoff.wait_s(max(0, attempt), self._random))
            try:
                await self._probe(replica.connection)
            except ServerError as error:
                replica.reason = str(error)
                attempt += 1
                continue
            except ClientError as error:
                self._stop(error)
                return
            break
        replica.ready = True
        self._mind_the_dark()
        self._admit()

    def _mind_the_dark(self) -> None:
        """While no replica is ready and somebody waits, a clock runs."""
        dark = bool(self._waiting) and not any(replica.ready for replica in self._replicas)
        if dark and self._dark is None:
            self._dark = asyncio.get_running_loop().call_later(self._patience_s, self._give_up)
        elif not dark and self._dark is not None:
            self._dark.cancel()
            self._dark = None

    def _give_up(self) -> None:
        self._dark = None
        worst = (*self._replicas, *self._left)[0]
        text = (
            f"no server was ready for {self._patience_s:g} s; {worst.connection.address}: {worst.reason or 'it left'}"
        )
        self._fail_waiting(WireError("UNAVAILABLE", text, worst.connection.address))

    def _stop(self, error: BaseException) -> None:
        self._stopped = error
        self._fail_waiting(error)

    def _fail_waiting(self, error: BaseException) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.turn.done():
                waiter.turn.set_exception(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs this until the fleet is closed; its error ends the run."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(error)
