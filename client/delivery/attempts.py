"""Getting one batch answered: an attempt on a replica, retries elsewhere until a deadline, and halving after INTERNAL.

An attempt that takes much longer than others do is made a second time on another replica (a hedge), and the first
answer counts: every model is a function of its inputs, so both would be the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from numpy.typing import NDArray

from client.contract import Model
from client.delivery.bounds import Bound
from client.delivery.packing import Batch
from client.delivery.patience import Backoff, RetryBudget
from client.delivery.rate import Rate
from client.delivery.replica import Replica
from client.delivery.replicas import Fleet
from client.delivery.validation import split_outputs
from client.errors import ContractError, ServerError
from client.rows import Failure, Result, Row
from client.statistics import Statistics
from client.wire import QUEUE_FULL, QUEUE_TIMEOUT, Remedy, WireError, cause, check_outputs, remedy

Outputs = dict[str, NDArray[Any]]

HEDGE_FACTOR = 5.0
"""An attempt this many times slower than the usual one is made again elsewhere."""
LEAST_HEDGE_S = 0.1
HEDGE_RESERVE, HEDGE_SHARE = 16, 0.05
"""Hedges allowed: so many, and this share of the answered requests."""


@dataclass(frozen=True)
class Patience:
    """How long to insist. deadline_s: on one batch, from its first attempt. attempt_s: on one attempt."""

    deadline_s: float
    attempt_s: float
    backoff: Backoff
    budget: RetryBudget = field(default_factory=RetryBudget)


@dataclass(eq=False)
class _Ledger:
    rows: int = 0
    failures: int = 0
    requests: int = 0
    answered: int = 0
    hedges: int = 0
    hedges_won: int = 0
    retries: Counter[str] = field(default_factory=Counter)

    def charged(self) -> int:
        """Retries that the budget counts."""
        return self.retries.total() - self.retries[QUEUE_FULL] - self.retries[QUEUE_TIMEOUT]


@dataclass(eq=False)
class _Attempts:
    """What has happened to one batch. last: the replica that got it last; error: of the last attempt; sent: when it
    left, None while it waits for room."""

    deadline: float | None = None
    count: int = 0
    last: Replica | None = None
    error: WireError | None = None
    sent: float | None = None
    suspicious: bool = False
    """Whether a failure may be a row's fault."""


class Delivery:
    """Answers batches. weights: bytes of a row by model. bound: of bytes in flight; rows_bound: of rows, over all replicas."""

    def __init__(
        self,
        fleet: Fleet,
        models: Mapping[str, Model],
        weights: Mapping[str, int],
        bound: Bound,
        patience: Patience,
        rows_bound: Bound | None = None,
    ) -> None:
        self._fleet = fleet
        self._models = models
        self._weights = weights
        self._bound = bound
        self._rows_bound = rows_bound
        self._patience = patience
        self._random = Random()  # for jitter alone: no result depends on it
        self._ledger = _Ledger()
        self._rate = Rate()
        self._usual_s: dict[tuple[str, int], float] = {}
        """Running mean of an attempt's time, by model and rows."""

    def statistics(self) -> Statistics:
        """The counts of now."""
        ledger, fleet, sharing = self._ledger, self._fleet, self._fleet.sharing
        return Statistics(
            rows=ledger.rows,
            failures=ledger.failures,
            requests=ledger.requests,
            in_flight=fleet.in_flight,
            rows_per_second=self._rate.per_second(),
            retries=dict(ledger.retries),
            hedges=ledger.hedges,
            hedges_won=ledger.hedges_won,
            golden_failures=fleet.golden_failures,
            bytes_sent=fleet.bytes_sent,
            bytes_received=fleet.bytes_received,
            shared_requests=sharing.requests,
            shared_bytes=sharing.nbytes,
            shared_fallbacks=sharing.fallbacks,
            slots_retired=sharing.retired,
            bytes_in_flight=self._bound.taken,
            most_bytes_in_flight=self._bound.most_taken,
            replicas=fleet.statistics(),
        )

    async def deliver(self, batch: Batch) -> list[Result]:
        """One result per row, in their order.

        Raises ServerError if no server answers within the deadline, the run's retries are spent, or one answers with an
        error that would meet every other batch; ContractError if it does not know the model or answers with other
        tensors than declared.
        """
        weight = min(self._bound.size, self._weights[batch.model] * len(batch.rows))
        async with self._bound.take(weight):
            if self._rows_bound is None:
                results = await self._deliver(self._models[batch.model], batch.rows, _Attempts())
            else:
                async with self._rows_bound.take(len(batch.rows)):
                    results = await self._deliver(self._models[batch.model], batch.rows, _Attempts())
        self._ledger.rows += len(results)
        self._rate.count(len(results))
        self._ledger.failures += sum(isinstance(result, Failure) for result in results)
        return results

    async def _deliver(self, model: Model, rows: Sequence[Row], attempts: _Attempts) -> list[Result]:
        try:
            return await self._insist(model, rows, attempts)
        except WireError as error:
            if len(rows) == 1:
                reason = f"the server failed on this row alone, twice: {error}"
                return [Failure(rows[0].key, reason, lasting=False)]
        # One bad row fails its whole batch: its neighbours are innocent.
        half = len(rows) // 2
        return [
            *await self._deliver(model, rows[:half], _Attempts(attempts.deadline)),
            *await self._deliver(model, rows[half:], _Attempts(attempts.deadline)),
        ]

    async def _insist(self, model: Model, rows: Sequence[Row], attempts: _Attempts) -> list[Result]:
        """Retries what can pass. Raises WireError after a second error that may be a row's fault."""
        while True:
            try:
                outputs = await self._try(model, rows, attempts)
            except WireError as error:
                wait_s = self._judge(error, model, rows, attempts)
            else:
                self._ledger.answered += 1
                check_outputs(model, len(rows), outputs)
                return split_outputs(rows, outputs)
            await asyncio.sleep(wait_s)

    def _judge(self, error: WireError, model: Model, rows: Sequence[Row], attempts: _Attempts) -> float:
        """How long to wait before the next attempt; raises what ends the batch instead."""
        what = remedy(error.status, error.message)
        if what is Remedy.STOP:
            raise _fatal(error, model) from error
        if what is Remedy.ISOLATE:
            if attempts.suspicious:
                raise error
            attempts.suspicious = True
        now = asyncio.get_running_loop().time()
        reason = cause(error.status, error.message)
        # A full queue is waited for by its replica, which gets nothing meanwhile; the batch may go elsewhere at once.
        full = reason in (QUEUE_FULL, QUEUE_TIMEOUT)
        wait_s = 0.0 if full else self._patience.backoff.wait_s(max(0, attempts.count - 1), self._random)
        if attempts.deadline is None or now + wait_s > attempts.deadline:
            raise ServerError(
                f"no answer for {len(rows)} rows of {model.name} after {attempts.count} attempts in "
                f"{self._patience.deadline_s:g} s; last: {error}"
            ) from error
        if not full and not self._patience.budget.allows(self._ledger.charged(), self._ledger.answered):
            causes = ", ".join(f"{count} {name}" for name, count in self._ledger.retries.most_common())
            raise ServerError(
                f"the retries of this run are spent ({causes}; {self._ledger.answered} requests answered): look at the "
                f"servers' logs, or allow more with a larger retry budget; last: {error}"
            ) from error
        self._ledger.retries[reason] += 1
        return wait_s

    async def _try(self, model: Model, rows: Sequence[Row], attempts: _Attempts) -> Outputs:
        """One attempt, with a hedge if it is slow and there is an elsewhere."""
        if not self._fleet.several:
            return await self._attempt(model, rows, attempts)
        first = asyncio.create_task(self._attempt(model, rows, attempts))
        racing = {first}
        try:
            await self._until_done_or_slow(first, model, rows, attempts)
            slow = attempts.last
            if first.done() or slow is None:
                return await first
            self._ledger.hedges += 1
            racing.add(asyncio.create_task(self._attempt(model, rows, attempts)))
            winner = await _first_to_answer(racing)
            if winner is not first and not first.done():
                self._ledger.hedges_won += 1
                self._fleet.outrun(slow, asyncio.get_running_loop().time())
            return winner.result()
        finally:
            for task in racing:
                task.cancel()
            await asyncio.gather(*racing, return_exceptions=True)

    async def _until_done_or_slow(
        self, first: asyncio.Task[Outputs], model: Model, rows: Sequence[Row], attempts: _Attempts
    ) -> None:
        loop = asyncio.get_running_loop()
        attempts.sent = None
        while True:
            usual = self._usual_s.get((model.name, len(rows)))
            limit_s = LEAST_HEDGE_S if usual is None else max(LEAST_HEDGE_S, HEDGE_FACTOR * usual)
            # What waits for room is not yet sent, and so not slow.
            left_s = limit_s if attempts.sent is None else attempts.sent + limit_s - loop.time()
            done, _ = await asyncio.wait({first}, timeout=left_s if left_s > 0 else LEAST_HEDGE_S)
            if done:
                return
            known_slow = usual is not None and attempts.sent is not None and loop.time() - attempts.sent >= limit_s
            if known_slow and attempts.last is not None and self._may_hedge(attempts.last):
                return

    async def _attempt(self, model: Model, rows: Sequence[Row], attempts: _Attempts) -> Outputs:
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout_at(attempts.deadline) as limit,
                self._fleet.lease(len(rows), avoid=attempts.last, again=attempts.count > 0) as replica,
            ):
                limit.reschedule(None)  # from here on gRPC keeps the time
                return await self._ask(replica, model, rows, attempts, loop.time())
        except TimeoutError:
            raise attempts.error or WireError("UNAVAILABLE", "no replica had room in time", "the client") from None

    async def _ask(
        self, replica: Replica, model: Model, rows: Sequence[Row], attempts: _Attempts, sent: float
    ) -> Outputs:
        if attempts.deadline is None:
            attempts.deadline = sent + self._patience.deadline_s
        attempts.last, attempts.sent = replica, sent
        attempts.count += 1
        self._ledger.requests += 1
        timeout_s = min(self._patience.attempt_s, max(attempts.deadline - sent, 0.001))
        try:
            outputs = await replica.connection.infer(model, [row.inputs for row in rows], timeout_s)
        except WireError as error:
            attempts.error = error
            self._blame(replica, error, sent)
            raise
        now = asyncio.get_running_loop().time()
        self._fleet.answered(replica, len(rows), now)
        usual = self._usual_s.get((model.name, len(rows)), now - sent)
        self._usual_s[model.name, len(rows)] = usual + 0.1 * (now - sent - usual)
        return outputs

    def _blame(self, replica: Replica, error: WireError, sent: float) -> None:
        reason = cause(error.status, error.message)
        if reason in (QUEUE_FULL, QUEUE_TIMEOUT):
            self._fleet.refused(replica, sent, asyncio.get_running_loop().time())
        elif remedy(error.status, error.message) is Remedy.RETRY:
            self._fleet.struck(replica, str(error), gone=error.status == "UNAVAILABLE")

    def _may_hedge(self, slow: Replica) -> bool:
        allowed = HEDGE_RESERVE + HEDGE_SHARE * self._ledger.answered
        return self._ledger.hedges < allowed and self._fleet.others_ready(slow)


async def _first_to_answer(racing: set[asyncio.Task[Outputs]]) -> asyncio.Task[Outputs]:
    """The first of the tasks that ends without an error, or the last one if all fail."""
    left = set(racing)
    while True:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None or not left:
                return task


def _fatal(error: WireError, model: Model) -> ContractError | ServerError:
    if error.status in ("NOT_FOUND", "UNIMPLEMENTED"):
        return ContractError(f"the server no longer serves {model.name} as it did: {error}")
    expected = ", ".join(f"{t.name} {t.datatype} [n, {', '.join(map(str, t.shape))}]" for t in model.inputs)
    return ServerError(f"{error}\n  sent to {model.name}: {expected}")
