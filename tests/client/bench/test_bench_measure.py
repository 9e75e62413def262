"""Intervals, levels and the search, on a virtual clock against targets of known speed."""

from __future__ import annotations

import asyncio

import pytest

from client.bench.arrivals import offsets
from client.bench.load import closed_loop, open_loop
from client.bench.measure import Level, Measuring, measure
from client.bench.search import highest_rate
from tests.client.bench.fake_targets import FakeTarget, NoCounters
from tests.client.bench.virtual_time import run_virtually

MEASURING_SHORTLY = Measuring(interval_s=1.0, most_intervals=6, slo_ms=25.0)


def closed(target: FakeTarget, concurrency: int, measuring: Measuring = MEASURING_SHORTLY) -> Level:
    async def scenario() -> Level:
        async with closed_loop(target, concurrency) as load:
            return await measure(
                load, NoCounters(), measuring, mode="concurrency", level=concurrency, request_rows=target.rows
            )

    return run_virtually(scenario())


def test_a_steady_target_is_stable_after_three_windows() -> None:
    level = closed(FakeTarget(lambda _: 0.02, rows=8), 2)
    assert level.verdict.stable
    assert level.intervals == 3
    assert level.seconds == pytest.approx(3)
    assert level.requests_per_s == pytest.approx(50, rel=0.02)  # an interval begins and ends on an answer
    assert level.rows_per_s == 8 * level.requests_per_s
    assert level.latency.at(50) == pytest.approx(40)  # two in flight, one served at a time
    assert level.goodput == 0  # none within 25 ms


def test_a_target_that_settles_late_is_judged_by_its_last_windows() -> None:
    level = closed(FakeTarget(lambda number: 0.1 if number < 12 else 0.02), 1)
    assert level.verdict.stable
    assert level.intervals == 5
    assert level.requests_per_s == pytest.approx(50, rel=0.02)
    assert level.goodput == pytest.approx(50, rel=0.02)
    assert len(level.trace) > level.answered


def test_a_target_that_never_settles_is_reported_and_called_not_stable() -> None:
    level = closed(FakeTarget(lambda number: 0.01 * 1.01**number), 1)
    assert level.intervals == MEASURING_SHORTLY.most_intervals
    assert not level.verdict.stable
    assert "throughput differs by" in level.verdict.reason
    assert level.answered > 0


def test_failed_requests_are_counted_and_are_no_throughput() -> None:
    level = closed(FakeTarget(lambda _: 0.01, fails=lambda number: "UNAVAILABLE" if number % 4 == 0 else ""), 1)
    assert level.failed == pytest.approx(75, abs=1)
    assert level.first_error == "UNAVAILABLE"
    assert level.requests_per_s == pytest.approx(75, abs=1)


def test_an_overloaded_target_is_not_stable_in_an_open_loop() -> None:
    """Its queue grows for as long as it is watched: no steady state exists, whatever the throughput."""

    async def scenario() -> Level:
        target = FakeTarget(lambda _: 0.02)
        async with open_loop(target, offsets("constant", 60, 0)) as load:
            level = await measure(load, NoCounters(), MEASURING_SHORTLY, mode="rate", level=60, request_rows=1)
            await load.cancel()
            return level

    level = run_virtually(scenario())
    assert not level.verdict.stable
    assert "mean latency differs" in level.verdict.reason
    assert level.requests_per_s == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize("capacity", [3.0, 77.0, 5000.0])
def test_the_search_ends_within_five_percent_below_the_capacity(capacity: float) -> None:
    tried: list[float] = []

    async def keeps(rate: float) -> bool:
        tried.append(rate)
        return rate <= capacity

    found = asyncio.run(highest_rate(keeps, first=100.0, least=1.0))
    assert capacity / 1.05 <= found <= capacity
    assert len(tried) <= 16


def test_the_search_gives_up_below_the_least_rate_that_can_be_judged() -> None:
    tried: list[float] = []

    async def never(rate: float) -> bool:
        tried.append(rate)
        return False

    assert asyncio.run(highest_rate(never, first=100.0, least=10.0)) == 0.0
    assert tried == [100.0, 50.0, 25.0, 12.5]


@pytest.mark.parametrize("settings", [{"interval_s": 0.0}, {"most_intervals": 2}])
def test_a_plan_that_can_not_work_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="interval"):
        Measuring(**settings)  # type: ignore[arg-type]
