"""Getting one batch answered: the next server, retries with backoff until a deadline, and halving after INTERNAL.

Owns the fate of a batch and the counting of it. Must not know where rows come from or in which order results leave.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from client.contract import Model
from client.errors import ContractError, ServerError
from client.packing import Batch
from client.retries import Backoff, Remedy, cause, remedy
from client.rows import Failure, Result, Row
from client.validation import check_outputs, split_outputs
from client.window import Window
from client.wire import Connection, WireError


@dataclass(frozen=True)
class Statistics:
    """Counts since the client was entered. in_flight: rows sent and not yet answered. retries: by cause."""

    rows: int
    failures: int
    requests: int
    in_flight: int
    retries: Mapping[str, int]


@dataclass(frozen=True)
class Patience:
    """How long to insist. deadline_s: on one batch, all attempts together. attempt_s: on one attempt."""

    deadline_s: float
    attempt_s: float
    backoff: Backoff


class Delivery:
    """Answers batches. connections: asked in turn. window: bounds the rows in flight over all of them."""

    def __init__(
        self, connections: Sequence[Connection], models: Mapping[str, Model], window: Window, patience: Patience
    ) -> None:
        self._turns: Iterator[Connection] = itertools.cycle(connections)
        self._models = models
        self._window = window
        self._patience = patience
        self._random = Random()  # for jitter alone: no result depends on it
        self._rows = self._failures = self._requests = 0
        self._retries: Counter[str] = Counter()

    def statistics(self) -> Statistics:
        """The counts of now."""
        return Statistics(self._rows, self._failures, self._requests, self._window.taken, dict(self._retries))

    async def deliver(self, batch: Batch) -> list[Result]:
        """One result per row, in their order.

        Raises ServerError if no server answers within the deadline or one answers with an error that would meet every
        other batch, ContractError if it does not know the model or answers with other tensors than declared.
        """
        async with self._window.take(len(batch.rows)):
            deadline = asyncio.get_running_loop().time() + self._patience.deadline_s
            results = await self._deliver(self._models[batch.model], batch.rows, deadline)
        self._rows += len(results)
        self._failures += sum(isinstance(result, Failure) for result in results)
        return results

    async def _deliver(self, model: Model, rows: Sequence[Row], deadline: float) -> list[Result]:
        try:
            return await self._insist(model, rows, deadline)
        except WireError as error:
            if len(rows) == 1:
                return [Failure(rows[0].key, f"the server failed on this row alone, twice: {error}")]
        # One bad row fails its whole batch: its neighbours are innocent.
        half = len(rows) // 2
        return [
            *await self._deliver(model, rows[:half], deadline),
            *await self._deliver(model, rows[half:], deadline),
        ]

    async def _insist(self, model: Model, rows: Sequence[Row], deadline: float) -> list[Result]:
        """Retries what can pass. Raises WireError after a second error that may be a row's fault."""
        loop = asyncio.get_running_loop()
        suspicious = False
        for attempt in itertools.count():
            left_s = deadline - loop.time()
            self._requests += 1
            try:
                outputs = await next(self._turns).infer(
                    model, [row.inputs for row in rows], min(self._patience.attempt_s, max(left_s, 0.001))
                )
            except WireError as error:
                what = remedy(error.status, error.message)
                if what is Remedy.STOP:
                    raise _fatal(error, model) from error
                if what is Remedy.ISOLATE and suspicious:
                    raise
                suspicious = suspicious or what is Remedy.ISOLATE
                wait_s = self._patience.backoff.wait_s(attempt, self._random)
                if loop.time() + wait_s > deadline:
                    raise ServerError(
                        f"no answer for {len(rows)} rows of {model.name} after {attempt + 1} attempts in "
                        f"{self._patience.deadline_s:g} s; last: {error}"
                    ) from error
                self._retries[cause(error.status, error.message)] += 1
            else:
                check_outputs(model, len(rows), outputs)
                return split_outputs(rows, outputs)
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop above has no end")


def _fatal(error: WireError, model: Model) -> ContractError | ServerError:
    if error.status in ("NOT_FOUND", "UNIMPLEMENTED"):
        return ContractError(f"the server no longer serves {model.name} as it did: {error}")
    expected = ", ".join(f"{t.name} {t.datatype} [n, {', '.join(map(str, t.shape))}]" for t in model.inputs)
    return ServerError(f"{error}\n  sent to {model.name}: {expected}")
