"""Measuring one load: intervals until three in a row agree.

A level that never settles is reported from its last three intervals all the same, and says that it is not stable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from client.bench import samples
from client.bench.load import Load
from client.bench.probe import Counters, ServerSide, cpu_s, server_side
from client.bench.ranges import MEASURING
from client.bench.samples import Latency, Sample
from client.bench.stability import INTERVALS, Pace, Verdict, judge
from client.ranges import refuse_outside


class CountersOfNow(Protocol):
    """Where counters come from."""

    async def read(self) -> Counters:
        """The counters of now."""


@dataclass(frozen=True)
class Measuring:
    """How long to measure. interval_s: seconds of an interval. most_intervals: after these without agreement it is given up.

    slo_ms: the limit of goodput, None for none.
    """

    interval_s: float = 2.0
    most_intervals: int = 10
    slo_ms: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        refuse_outside(MEASURING, self)


@dataclass(frozen=True)
class Level:
    """One load and what came of it, over the last three intervals.

    mode: "concurrency" or "rate"; load: requests in flight, or requests per second. request_rows: rows of a request.
    lag_p99_ms: how late the client sent. goodput: answered within the limit per second. cpu_s: by process. servers: by
    model. intervals: measured in all. trace: every request since the load began.
    """

    mode: str
    load: float
    request_rows: int
    verdict: Verdict
    intervals: int
    seconds: float
    answered: int
    failed: int
    first_error: str
    latency: Latency
    lag_p99_ms: float
    goodput: float | None
    cpu_s: Mapping[str, float]
    servers: tuple[ServerSide, ...]
    trace: tuple[Sample, ...]

    @property
    def requests_per_s(self) -> float:
        """Answered requests per second."""
        return self.answered / self.seconds

    @property
    def rows_per_s(self) -> float:
        """Rows of answered requests per second."""
        return self.requests_per_s * self.request_rows


async def measure(
    load: Load, counters: CountersOfNow, measuring: Measuring, *, mode: str, level: float, request_rows: int
) -> Level:
    """Watches a running load until its last three intervals agree, or there were enough of them."""
    loop = asyncio.get_running_loop()
    await load.next_end()  # connections, caches and first allocations are no part of an interval
    bounds, positions, read = [loop.time()], [len(load.samples)], [await counters.read()]
    paces: list[Pace] = []
    while True:
        await load.wait_until(bounds[-1] + measuring.interval_s)
        bounds.append(loop.time())
        positions.append(len(load.samples))
        read.append(await counters.read())
        paces.append(_pace(load.samples[positions[-2] : positions[-1]], bounds[-1] - bounds[-2]))
        verdict = judge(paces)
        if verdict.stable or len(paces) >= measuring.most_intervals:
            break
    first = max(0, len(paces) - INTERVALS)
    kept = load.samples[positions[first] : positions[-1]]
    seconds = bounds[-1] - bounds[first]
    errors = [sample.error for sample in kept if sample.error]
    return Level(
        mode=mode,
        load=level,
        request_rows=request_rows,
        verdict=verdict,
        intervals=len(paces),
        seconds=seconds,
        answered=len(kept) - len(errors),
        failed=len(errors),
        first_error=errors[0] if errors else "",
        latency=samples.latency(kept),
        lag_p99_ms=samples.lag_ms(kept),
        goodput=None if measuring.slo_ms is None else samples.within(kept, measuring.slo_ms) / seconds,
        cpu_s=cpu_s(read[first], read[-1]),
        servers=server_side(read[first], read[-1]),
        trace=tuple(load.samples),
    )


def _pace(interval: Sequence[Sample], seconds: float) -> Pace:
    answered = sum(not sample.error for sample in interval)
    return Pace(answered / seconds, samples.latency(interval).mean_ms)
