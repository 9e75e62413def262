"""Several replicas of scripted manners: who gets what, who is out, and who comes back as another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from client.delivery.patience import RetryBudget
from client.errors import ClientError, ContractError, ServerError
from client.rows import Failure, Row, loss_row
from client.scoring import ScoringClient
from client.wire.security import Security
from tests.client.fake_triton import LATENT, FakeTriton, Fault, decoded, other_identity, toy_rows
from tests.client.test_scoring import assert_right, collect, config, until


def test_a_silent_replica_is_overtaken_by_a_hedge_and_gets_less() -> None:
    """Long before the attempt's own deadline; the others go on meanwhile."""

    async def main() -> None:
        async with (
            asyncio.timeout(20),
            FakeTriton() as good,
            FakeTriton() as silent,
            ScoringClient(config(good, silent, deadline_s=60)) as client,
        ):
            assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
            silent.hold.clear()
            assert_right(await collect(client.score(toy_rows(400))), set(range(400)))
            statistics = client.statistics()
            assert statistics.hedges_won >= 1
            assert statistics.replicas[1].failed >= 1
            assert statistics.replicas[1].bound < statistics.replicas[0].bound
            await until(lambda: silent.rows_held == 0)  # what was overtaken was cancelled

    asyncio.run(main())


def test_the_replica_with_less_outstanding_work_gets_the_next_batch() -> None:
    """One that is slower by a constant holds no more than its bound and gets fewer rows."""

    async def main() -> None:
        async with FakeTriton() as fast, FakeTriton() as slow, ScoringClient(config(fast, slow)) as client:
            results = client.score(toy_rows(800))
            slow.hold.clear()
            first = asyncio.create_task(collect(results))
            await until(lambda: sum(fast.batches) >= 400)
            assert slow.most_rows_held <= 16  # its bound at the start, 2 × max_batch_size
            slow.hold.set()
            assert_right(await first, set(range(800)))

    asyncio.run(main())


def test_a_replica_that_comes_back_with_another_pipeline_stops_the_run() -> None:
    """Its values would be of another model: never mixed, and no other error hides it."""

    def endless() -> Iterator[Row]:
        for key in itertools.count():
            yield loss_row(key, LATENT, 1, 0, 0)

    async def main() -> None:
        async with FakeTriton() as good, FakeTriton() as first:
            port = int(first.address.rpartition(":")[2])
            async with ScoringClient(config(good, first)) as client:
                assert_right(await collect(client.score(toy_rows(16))), set(range(16)))
                await first.__aexit__()
                async with FakeTriton(port=port, identity=other_identity()) as impostor:
                    with pytest.raises(ContractError, match=r"differ in pipeline: .* has toy, .* has another"):
                        await collect(client.score(endless()))
                    assert impostor.batches == []

    asyncio.run(main())


def test_a_single_server_that_was_replaced_while_idle_is_looked_at_before_the_next_row() -> None:
    """No request fails here: the lost connection alone is the sign."""

    async def main() -> None:
        async with FakeTriton() as first:
            port = int(first.address.rpartition(":")[2])
            async with ScoringClient(config(first)) as client:
                await first.__aexit__()
                async with FakeTriton(port=port, identity=other_identity()) as impostor:
                    with pytest.raises(ContractError, match="differ in pipeline"):
                        await collect(client.score(toy_rows(8)))
                    assert impostor.batches == []

    asyncio.run(main())


def test_a_replica_that_comes_back_with_smaller_batches_stops_the_run() -> None:
    """It would refuse full ones."""

    async def main() -> None:
        async with FakeTriton() as first:
            port = int(first.address.rpartition(":")[2])
            async with ScoringClient(config(first)) as client:
                await first.__aexit__()
                async with FakeTriton(port=port, max_batch=4):
                    with pytest.raises(ContractError, match=r"max_batch_size of 4 for .*, expected at least 8"):
                        await collect(client.score(toy_rows(8)))

    asyncio.run(main())


def test_batches_fit_the_smallest_replica() -> None:
    async def main() -> None:
        async with FakeTriton() as large, FakeTriton(max_batch=3) as small:
            async with ScoringClient(config(large, small)) as client:
                assert_right(await collect(client.score(toy_rows(60))), set(range(60)))
            assert max(large.batches + small.batches) == 3

    asyncio.run(main())


def test_a_full_queue_is_waited_for_by_all_and_fails_nobody() -> None:
    """The replica gets nothing for a while, however many batches wait: refusals stay few."""
    refused = 0

    def full(request: object) -> Fault | None:
        nonlocal refused
        refused += 1
        return Fault("UNAVAILABLE", "Exceeds maximum queue size") if refused % 3 else None

    async def main() -> None:
        async with FakeTriton() as server:
            server.behaviour = full
            async with ScoringClient(config(server, budget=RetryBudget(0, 0))) as client:
                assert_right(await collect(client.score(toy_rows(160))), set(range(160)))
                statistics = client.statistics()
            assert set(statistics.retries) == {"queue full"}
            assert statistics.retries["queue full"] <= 60
            assert statistics.replicas[0].bound < 16
            assert statistics.replicas[0].ejections == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "name"), [("UNAVAILABLE", "unavailable"), ("DEADLINE_EXCEEDED", "deadline exceeded")]
)
def test_a_run_whose_retries_are_spent_ends_with_their_causes(status: str, name: str) -> None:
    """Every second request fails, so each batch would get there: it is the run that has had enough."""
    count = 0

    def flaky(request: object) -> Fault | None:
        nonlocal count
        count += 1
        return Fault(status) if count % 2 else None

    async def main() -> None:
        async with FakeTriton() as server:
            server.behaviour = flaky
            async with ScoringClient(config(server, budget=RetryBudget(reserve=5, share=0.1))) as client:
                with pytest.raises(ServerError, match=rf"retries of this run are spent \([5-9] {name}; .* answered\)"):
                    await collect(client.score(toy_rows(800)))

    asyncio.run(main())


def test_one_poisoned_row_among_a_thousand_is_the_only_failure() -> None:
    """By the index of the one row whose prompt and draw are as no other's."""
    rows = toy_rows(1000)
    bad = replace(rows[500], inputs={**rows[500].inputs, "LATENT": rows[500].inputs["LATENT"] + 7})

    def poison(request: object) -> Fault | None:
        return Fault("INTERNAL", "bad tensor") if (decoded(request)["LATENT"] > 5).any() else None

    async def main() -> None:
        async with FakeTriton() as one, FakeTriton() as other:
            one.behaviour = other.behaviour = poison
            async with ScoringClient(config(one, other)) as client:
                results = await collect(client.score([*rows[:500], bad, *rows[501:]]))
            assert len(results) == 1000
            assert_right(results, set(range(1000)) - {500})
            failure = results[500]
            assert isinstance(failure, Failure)
            assert "failed on this row alone, twice" in failure.reason
            assert "bad tensor" in failure.reason

    asyncio.run(main())


@pytest.mark.parametrize(("limits", "largest"), [({"bytes_in_flight": 1}, 1), ({"request_bytes": 860}, 3)])
def test_bytes_bound_what_travels(limits: dict[str, int], largest: int) -> None:
    """A row of noise_loss weighs 276 bytes: 192 + 3 × 4 in, 64 + 2 × 4 out. One row always travels."""

    async def main() -> None:
        async with FakeTriton() as server, ScoringClient(config(server, **limits)) as client:
            assert_right(await collect(client.score(toy_rows(50))), set(range(50)))
            assert max(server.batches) == largest
            if "bytes_in_flight" in limits:
                assert server.most_rows_held == 1

    asyncio.run(main())


def test_bytes_in_flight_and_pulled_are_bounded_whatever_the_length_of_the_input() -> None:
    """At a server that answers nothing."""

    async def main() -> None:
        async with FakeTriton() as server:
            server.hold.clear()
            pulled = 0

            def endless() -> Iterator[Row]:
                nonlocal pulled
                for row in toy_rows(10_000):
                    pulled += 1
                    yield row

            async with ScoringClient(config(server, bytes_in_flight=276 * 24)) as client:
                task = asyncio.create_task(collect(client.score(endless())))
                await until(lambda: server.rows_held == 16)
                for _ in range(200):
                    await asyncio.sleep(0)
                assert pulled == 24
                assert client.statistics().bytes_in_flight <= 276 * 24
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_every_request_carries_headers_and_a_span_of_the_trace() -> None:
    """As the server receives them."""

    async def main() -> list[dict[str, str]]:
        async with FakeTriton() as server:
            trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            secret = Security(headers=(("authorization", "Bearer x"),))
            async with ScoringClient(config(server, trace=trace, security=secret)) as client:
                await collect(client.score(toy_rows(24)))
            return server.metadata

    metadata = asyncio.run(main())
    assert {headers["authorization"] for headers in metadata} == {"Bearer x"}
    parents = [headers["traceparent"].split("-") for headers in metadata]
    assert {parent[1] for parent in parents} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert len({parent[2] for parent in parents}) == len(parents) == 3


def test_a_client_that_is_closed_under_a_consumer_tells_it() -> None:
    """And an error inside the `async with` is not hidden by that."""

    async def main() -> None:
        async with FakeTriton() as server:
            server.hold.clear()
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the error must come from inside
                async with ScoringClient(config(server)) as client:
                    consumer = asyncio.create_task(collect(client.score(toy_rows(64))))
                    await until(lambda: server.rows_held > 0)
                    raise ZeroDivisionError
            with pytest.raises(ClientError, match="the client was closed while rows were in flight"):
                await asyncio.wait_for(consumer, 5)

    asyncio.run(main())
