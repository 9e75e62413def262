"""Closed and open loops on a virtual clock; above all, that a late client or a stalled server can't hide its latency."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from client.bench.arrivals import offsets
from client.bench.load import MOST_OUTSTANDING, closed_loop, open_loop
from client.bench.samples import Sample, latency
from tests.client.bench.fake_targets import FakeTarget
from tests.client.bench.virtual_time import VirtualLoop, run_virtually

FAST_S, STALL_S = 0.01, 1.0


def stalls_once(number: int) -> float:
    """10 ms for every request but the 100th, which takes a second."""
    return STALL_S if number == 100 else FAST_S


def constant(rate: float) -> Iterator[float]:
    return offsets("constant", rate, seed=0)


async def watched(load_of: object, seconds: float) -> list[Sample]:
    """The samples of a load that runs for so long, the drain included."""
    async with load_of as load:  # type: ignore[attr-defined]
        await load.wait_until(asyncio.get_running_loop().time() + seconds)
    return load.samples  # type: ignore[no-any-return]


def test_a_closed_loop_keeps_just_so_many_requests_in_flight() -> None:
    async def scenario() -> tuple[int, int]:
        target = FakeTarget(lambda _: FAST_S)
        samples = await watched(closed_loop(target, 3), 1.0)
        return target.most_in_flight, len(samples)

    most, answered = run_virtually(scenario())
    assert most == 3
    assert answered == pytest.approx(102, abs=1)  # one engine of 10 ms, and what was in flight at the end


def test_an_open_loop_shows_every_request_that_a_stall_delayed() -> None:
    """The case of coordinated omission: a closed loop sees the stall once, an open one in every request that was due."""

    async def scenario() -> tuple[list[Sample], list[Sample]]:
        closed = await watched(closed_loop(FakeTarget(stalls_once), 1), 6.0)
        opened = await watched(open_loop(FakeTarget(stalls_once), constant(50)), 6.0)
        return closed, opened

    closed, opened = run_virtually(scenario())
    assert sum(s.latency_s > 0.1 for s in closed) == 1
    assert latency(closed).at(99) == pytest.approx(10)
    # 50 requests a second were due while the engine stood still, and it needs as long again to catch up.
    delayed = [s.latency_s for s in opened if s.latency_s > 0.1]
    assert len(delayed) == pytest.approx(90, abs=3)
    assert latency(opened).at(99) > 900
    # By hand: the k-th request after the stall is due 20 k ms into it and served 10 k ms after it.
    worst = sorted((s.latency_s for s in opened), reverse=True)
    assert worst[:5] == pytest.approx([1.0 - 0.01 * k for k in range(5)], abs=1e-6)


def test_a_late_client_makes_latencies_longer_not_fewer() -> None:
    """The client's own loop is blocked for half a second: requests due meanwhile are sent late and count from when due."""

    async def scenario() -> list[Sample]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.call_later(1.0, loop.busy, 0.5)
        return await watched(open_loop(FakeTarget(lambda _: 0.001), constant(100)), 3.0)

    samples = run_virtually(scenario())
    assert len(samples) == pytest.approx(300, abs=1)
    late = [s for s in samples if s.lag_s > 0.05]
    assert len(late) == pytest.approx(45, abs=2)
    assert max(s.latency_s for s in late) == pytest.approx(0.5, abs=0.01)
    assert all(s.done_s - s.sent_s < 0.06 for s in late)  # from the actual send they would all have looked fast


def test_an_open_loop_sends_on_while_nothing_is_answered_but_not_without_bound() -> None:
    async def scenario() -> tuple[int, list[Sample]]:
        target = FakeTarget(lambda _: 5.0)
        async with open_loop(target, constant(1000)) as load:
            await load.wait_until(4.0)
            most = target.most_in_flight
            raise_after = load.samples
            await load.cancel()
        return most, raise_after

    most, samples = run_virtually(scenario())
    assert most == MOST_OUTSTANDING
    assert samples == []


def test_draining_answers_everything_that_was_sent() -> None:
    async def scenario() -> tuple[int, int]:
        target = FakeTarget(lambda _: 0.1)
        samples = await watched(open_loop(target, constant(20)), 1.0)
        return len(samples), target._in_flight

    answered, left = run_virtually(scenario())
    assert answered == pytest.approx(20, abs=1)
    assert left == 0


def test_what_a_request_raises_ends_the_load() -> None:
    class Broken(FakeTarget):
        async def send(self, number: int) -> str:
            await asyncio.sleep(0.5)
            raise ConnectionError("the server is of another kind")

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionError, match="another kind"):
            await watched(closed_loop(Broken(lambda _: 0), 2), 100.0)
        return loop.time()

    assert run_virtually(scenario()) == pytest.approx(0.5)


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(itertools.islice(constant(4), 5)) == [0, 0.25, 0.5, 0.75, 1.0]


def test_poisson_arrivals_have_the_rate_the_spread_and_the_seed() -> None:
    due = list(itertools.islice(offsets("poisson", 50, seed=3), 20_000))
    gaps = [b - a for a, b in itertools.pairwise([0.0, *due])]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1 / 50, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.03)  # of an exponential distribution
    assert due[:100] == list(itertools.islice(offsets("poisson", 50, seed=3), 100))
    assert due[:100] != list(itertools.islice(offsets("poisson", 50, seed=4), 100))


@pytest.mark.parametrize(("kind", "rate"), [("constant", 0), ("poisson", -1), ("bursty", 5)])
def test_other_schedules_are_refused(kind: str, rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate must be|arrivals are"):
        offsets(kind, rate, seed=0)
