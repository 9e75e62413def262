"""ScoringClient against an in-process server of scripted manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import client.wire.addresses as addresses
from client import handshake
from client.delivery import membership, outages
from client.delivery.patience import Backoff
from client.errors import ClientError, ContractError, RowError, ServerError
from client.rows import Answer, Failure, Result, Row, loss_row
from client.scoring import ClientConfig, ScoringClient
from client.statistics import Statistics
from client.wire import Address, resolve
from tests.client.fake_triton import LATENT, FakeTriton, Fault, decoded, expected_loss, other_identity, toy_rows

QUICK = Backoff(first_s=0.001, longest_s=0.01)


def config(*servers: FakeTriton, **changes: Any) -> ClientConfig:
    """A configuration that does not wait long."""
    values = {"ready_s": 5.0, "deadline_s": 5.0, "backoff": QUICK, **changes}
    return ClientConfig(tuple(server.address for server in servers), **values)


async def collect(results: AsyncIterator[Result]) -> dict[Any, Result]:
    """Results by key; a key that comes twice is an error."""
    found: dict[Any, Result] = {}
    async for result in results:
        assert result.key not in found
        found[result.key] = result
    return found


def scored(
    rows: int, prepare: Callable[[FakeTriton], None], **changes: Any
) -> tuple[dict[Any, Result], Statistics, FakeTriton]:
    """Scores so many toy rows on a prepared server."""

    async def main() -> tuple[dict[Any, Result], Statistics, FakeTriton]:
        async with FakeTriton() as server:
            prepare(server)
            async with ScoringClient(config(server, **changes)) as client:
                return await collect(client.score(toy_rows(rows))), client.statistics(), server

    return asyncio.run(main())


def assert_right(results: dict[Any, Result], keys: set[int]) -> None:
    """These keys have the right answers."""
    assert {key for key, result in results.items() if isinstance(result, Answer)} == keys
    for key in keys:
        result = results[key]
        assert isinstance(result, Answer)
        for name, value in expected_loss(key).items():
            np.testing.assert_allclose(result.outputs[name], value, rtol=1e-6, err_msg=f"{key} {name}")


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, up to 5 s."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def test_every_row_is_answered_once_under_its_own_key() -> None:
    """Full batches, and one partial one at the end."""
    results, statistics, server = scored(100, lambda server: None)
    assert_right(results, set(range(100)))
    assert sorted(server.batches) == [4] + [8] * 12
    assert (statistics.rows, statistics.failures, statistics.requests) == (100, 0, 13)
    assert (statistics.in_flight, statistics.retries) == (0, {})


@pytest.mark.parametrize("status", ["UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "ABORTED"])
def test_a_status_that_can_pass_is_retried_and_counted(status: str) -> None:
    """Three refusals, then an answer."""
    results, statistics, server = scored(8, lambda server: server.script.extend([Fault(status)] * 3))
    assert_right(results, set(range(8)))
    assert statistics.retries == {status.lower().replace("_", " "): 3}
    assert len(server.batches) == 4


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("INVALID_ARGUMENT", "shape"), ServerError, ("INVALID_ARGUMENT", "shape", "LATENT FP32 [n, 3, 4, 4]")),
        (Fault("NOT_FOUND", "no model"), ContractError, ("noise_loss", "no model")),
        (Fault("UNIMPLEMENTED"), ContractError, ("noise_loss", "UNIMPLEMENTED")),
        (Fault("RESOURCE_EXHAUSTED", "too large"), ServerError, ("too large",)),
        (Fault("UNAVAILABLE", "This protocol is restricted"), ServerError, ("restricted",)),
    ],
)
def test_a_status_that_can_not_pass_stops_the_run_at_its_first_request(
    fault: Fault, kind: type[ClientError], words: tuple[str, ...]
) -> None:
    """Trying again would not change it."""

    async def main() -> None:
        async with FakeTriton() as server:
            server.behaviour = lambda request: fault
            async with ScoringClient(config(server)) as client:
                with pytest.raises(kind) as caught:
                    await collect(client.score(toy_rows(8)))
            assert all(word in str(caught.value) for word in words)
            assert server.batches == [8]

    asyncio.run(main())


def test_one_poisoned_row_fails_alone_and_by_name() -> None:
    """The batch is halved until the row stands alone; innocents are answered."""

    def poison(request: Any) -> Fault | None:
        return Fault("INTERNAL", "kernel exploded") if (decoded(request)["DRAW"] == 3).any() else None

    def prepare(server: FakeTriton) -> None:
        server.behaviour = poison

    results, statistics, server = scored(8, prepare)
    assert_right(results, {0, 1, 2, 4, 5, 6})
    failures = [results[key] for key in (3, 7)]
    assert all(isinstance(failure, Failure) and "kernel exploded" in failure.reason for failure in failures)
    assert statistics.failures == 2
    # Batches that hold a bad row, 8 4 4 2 2 1 1, are asked twice, their innocent halves, 2 2 1 1, once.
    assert sorted(server.batches) == sorted([8, 4, 4, 2, 2, 1, 1] * 2 + [2, 2, 1, 1])


def test_an_internal_error_that_passes_splits_nothing() -> None:
    """A server may stumble without any row's fault."""
    results, _, server = scored(8, lambda server: server.script.append(Fault("INTERNAL")))
    assert_right(results, set(range(8)))
    assert server.batches == [8, 8]


def test_nan_is_a_failure_of_its_row() -> None:
    """It must never reach a mean."""

    def prepare(server: FakeTriton) -> None:
        server.nan_draw = 2

    results, _, _ = scored(8, prepare)
    assert_right(results, {0, 1, 3, 4, 5, 7})
    assert results[2] == Failure(2, "the server's LOSS_PROMPT holds NaN or Inf")


def test_an_answer_without_a_declared_output_breaks_the_contract() -> None:
    """Rather than a KeyError somewhere later."""

    def prepare(server: FakeTriton) -> None:
        server.drop_output = True

    with pytest.raises(ContractError, match="DELTA wrongly"):
        scored(8, prepare)


def test_a_server_that_stays_away_ends_in_an_error_that_says_how_often_it_was_asked() -> None:
    """Within the deadline, not for ever."""

    def prepare(server: FakeTriton) -> None:
        server.behaviour = lambda request: Fault("UNAVAILABLE", "gone fishing")

    with pytest.raises(
        ServerError, match=r"no answer for 8 rows of noise_loss after \d+ attempts in 0.2 s.*gone fishing"
    ):
        scored(8, prepare, deadline_s=0.2)


def test_a_server_that_is_silent_is_given_up_after_the_deadline() -> None:
    """Each attempt has its own, shorter one."""

    def prepare(server: FakeTriton) -> None:
        server.hold.clear()

    with pytest.raises(ServerError, match=r"after [2-9] attempts.*DEADLINE_EXCEEDED"):
        scored(8, prepare, deadline_s=0.3, attempt_s=0.1)


def test_a_server_that_comes_back_on_its_port_finishes_the_run() -> None:
    """What the embedded server does after a kill -9."""

    async def main() -> None:
        async with FakeTriton() as first:
            port = int(first.address.rpartition(":")[2])
            first.hold.clear()
            async with ScoringClient(config(first)) as client:
                collecting = asyncio.create_task(collect(client.score(toy_rows(64))))
                await until(lambda: len(first.batches) >= 2)
                await first.__aexit__()
                async with FakeTriton(port=port) as second:
                    assert_right(await collecting, set(range(64)))
                    assert sum(second.batches) >= 64
                assert client.statistics().retries

    asyncio.run(main())


def test_requests_go_to_the_servers_in_turn_and_a_dead_one_costs_no_row() -> None:
    """The retry goes elsewhere."""

    async def main() -> None:
        async with FakeTriton() as one, FakeTriton() as other, ScoringClient(config(one, other)) as client:
            assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
            assert len(one.batches) == len(other.batches) == 4
            await other.__aexit__()
            assert_right(await collect(client.score(toy_rows(64))), set(range(64)))

    asyncio.run(main())


def test_a_server_that_is_down_at_the_start_is_told_of_and_joins_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "LATE_S", 0.2)
    monkeypatch.setattr(outages, "POLL_S", 0.02)
    said: list[str] = []

    async def main() -> None:
        async with FakeTriton() as gone:
            port = int(gone.address.rpartition(":")[2])
        async with (
            FakeTriton() as there,
            ScoringClient(config(gone, there)) as client,
            client.outages_told(said.append),
        ):
            assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
            await until(lambda: len(said) == 1)
            async with FakeTriton(port=port) as later:
                await until(lambda: len(said) == 2)
                assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
                assert sum(later.batches) >= 16

    asyncio.run(main())
    assert said[0].startswith("1 of 2 servers are not there, and join when they are (the server at 127.0.0.1:")
    assert said[1].endswith(" joined")


@pytest.mark.parametrize("kind", ["file", "dns"])
def test_servers_come_and_go_while_rows_are_sent(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "FOLLOW_S", 0.05)
    monkeypatch.setattr(outages, "POLL_S", 0.02)
    path, said = tmp_path / "servers.txt", list[str]()
    names: list[Address] = []

    async def looked_up(server: str) -> list[Address]:
        assert server == "dns:///triton:8001"
        return list(names)

    monkeypatch.setattr(addresses, "_look_up", looked_up)

    def now(*servers: FakeTriton) -> None:
        names[:] = [Address(server.address) for server in servers]
        path.write_text("".join(f"{server.address}  # one\n" for server in servers))

    async def main() -> None:
        async with FakeTriton() as one, FakeTriton() as two:
            now(one)
            where = f"file:{path}" if kind == "file" else "dns:///triton:8001"
            settings = ClientConfig((where,), ready_s=5, deadline_s=5, backoff=QUICK)
            async with ScoringClient(settings) as client, client.outages_told(said.append):
                assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
                now(one, two)
                await until(lambda: said == [f"{two.address} joined"])
                two.hold.clear()
                collecting = asyncio.create_task(collect(client.score(toy_rows(64))))
                await until(lambda: len(two.batches) >= 1)
                now(one)
                await until(lambda: said[1:] == [f"{two.address} left"])
                two.hold.set()  # what it holds it answers, and no more comes
                assert_right(await collecting, set(range(64)))
                had = len(two.batches)
                assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
                assert len(two.batches) == had
                assert [replica.address for replica in client.statistics().replicas] == [one.address]
                path.write_text("no address\n")  # half written: who was there stays
                await asyncio.sleep(0.2)
                assert_right(await collect(client.score(toy_rows(64))), set(range(64)))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read: No such file"),
        ("", "names no server"),
        ("a\n", "the port is missing"),
        ("file:x", "another list"),
    ],
)
def test_a_list_of_servers_that_can_not_be_used_is_named(content: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "servers.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ServerError, match=f"the list of servers {path}.*{told}"):
        asyncio.run(resolve((f"file:{path}",)))


def test_a_late_server_of_another_identity_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "LATE_S", 0.2)

    async def main() -> None:
        async with FakeTriton() as gone:
            port = int(gone.address.rpartition(":")[2])

        async def for_ever(client: ScoringClient) -> None:
            while True:
                await collect(client.score(toy_rows(8)))

        async with (
            FakeTriton() as there,
            ScoringClient(config(gone, there)) as client,
            FakeTriton(port=port, identity=other_identity()),
        ):
            with pytest.raises(ContractError, match="differ in pipeline"):
                await for_ever(client)

    asyncio.run(main())


def test_no_server_at_all_ends_the_run() -> None:
    async def main() -> None:
        async with FakeTriton() as one, FakeTriton() as other:
            pass
        with pytest.raises(ServerError, match=f"{one.address} was not ready within 0.3 s"):
            async with ScoringClient(config(one, other, ready_s=0.3)):
                pass

    asyncio.run(main())


def test_rows_in_flight_and_rows_pulled_are_bounded_whatever_the_length_of_the_input() -> None:
    """A server that does not answer is not buried, nor is this process's memory."""
    pulled = 0

    def endless() -> Iterator[Row]:
        nonlocal pulled
        while True:
            pulled += 1
            yield loss_row(pulled, LATENT, 1, 0, 0)

    async def main() -> None:
        async with FakeTriton() as server:
            server.hold.clear()
            async with (
                ScoringClient(config(server, rows_in_flight=20)) as client,
                aclosing(client.score(endless())) as results,
            ):
                first = asyncio.create_task(anext(results))
                await until(lambda: server.rows_held == 16)
                for _ in range(200):
                    await asyncio.sleep(0)
                assert client.statistics().in_flight == 16  # two batches of 8; a third would exceed 20
                assert pulled == 40
                server.hold.set()
                await first
                assert pulled <= 41
            assert server.most_rows_held <= 20

    asyncio.run(main())


def test_a_partial_batch_leaves_when_no_more_rows_come() -> None:
    """A slow producer gets its answer before it brings the next row."""

    async def main() -> None:
        answered = asyncio.Event()

        async def slow() -> AsyncIterator[Row]:
            yield toy_rows(1)[0]
            async with asyncio.timeout(5):
                await answered.wait()
            yield loss_row("second", LATENT, 1, 0, 0)

        async with FakeTriton() as server, ScoringClient(config(server)) as client:
            keys = []
            async for result in client.score(slow()):
                keys.append(result.key)
                answered.set()
            assert keys == [0, "second"]

    asyncio.run(main())


def test_several_score_calls_at_once_keep_their_results_apart() -> None:
    """And share one bound on rows in flight."""

    async def main() -> None:
        async with FakeTriton() as server, ScoringClient(config(server, rows_in_flight=10)) as client:
            runs = await asyncio.gather(*(collect(client.score(toy_rows(20 + n))) for n in range(5)))
            for n, results in enumerate(runs):
                assert_right(results, set(range(20 + n)))
            assert server.most_rows_held <= 10

    asyncio.run(main())


async def _cancel(client: ScoringClient, server: FakeTriton) -> None:
    task = asyncio.create_task(collect(client.score(toy_rows(64))))
    await until(lambda: server.rows_held > 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _close(client: ScoringClient, server: FakeTriton) -> None:
    results = client.score(toy_rows(64))
    first = asyncio.create_task(anext(results))
    await until(lambda: server.rows_held > 0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await results.aclose()


@pytest.mark.parametrize("leave", [_cancel, _close])
def test_leaving_early_cancels_what_is_in_flight_and_leaves_no_task(
    leave: Callable[[ScoringClient, FakeTriton], Awaitable[None]],
) -> None:
    """Whether the consumer's task is cancelled or the iteration is closed."""

    async def main() -> None:
        async with FakeTriton() as server:
            async with ScoringClient(config(server)) as client:
                server.hold.clear()
                await leave(client, server)
                await until(lambda: server.rows_held == 0)
                assert server.cancelled > 0
                assert client.statistics().in_flight == 0
                server.hold.set()
                assert_right(await collect(client.score(toy_rows(8))), set(range(8)))  # the bound was given back
            named = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
            assert not [name for name in named if name.startswith(("Stream", "Delivery"))]

    asyncio.run(main())


def test_a_wrong_row_stops_its_call_and_only_its_call() -> None:
    """Before anything of it is sent."""

    async def main() -> None:
        async with FakeTriton() as server, ScoringClient(config(server)) as client:
            with pytest.raises(RowError, match="DRAW: expected 0 to 3, got 4"):
                await collect(client.score([loss_row("bad", LATENT, 1, 0, 4)]))
            assert server.batches == []
            assert_right(await collect(client.score(toy_rows(8))), set(range(8)))

    asyncio.run(main())


def test_an_error_of_the_input_reaches_the_consumer() -> None:
    """As it is, after the results that came before it."""

    def broken() -> Iterator[Row]:
        yield from toy_rows(8)
        raise OSError("disk gone")

    async def main() -> None:
        async with FakeTriton() as server, ScoringClient(config(server)) as client:
            with pytest.raises(OSError, match="disk gone"):
                await collect(client.score(broken()))

    asyncio.run(main())


def test_servers_of_different_identity_are_refused_together() -> None:
    """Their scores could not be mixed."""

    async def main() -> None:
        async with FakeTriton() as one, FakeTriton(identity=other_identity()) as other:
            with pytest.raises(ContractError, match=r"differ in pipeline: .* has toy, .* has another"):
                async with ScoringClient(config(one, other)):
                    pass

    asyncio.run(main())


def test_a_configuration_that_can_not_work_is_refused() -> None:
    """At once, not at the first row."""
    with pytest.raises(ValueError, match="servers"):
        ClientConfig(())
    with pytest.raises(ValueError, match="rows_in_flight"):
        ClientConfig(("localhost:8001",), rows_in_flight=0)
