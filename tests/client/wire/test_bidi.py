"""Rows over a bidirectional stream: the same answers and the same fates as by unary calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from client.errors import ServerError
from client.rows import Failure
from client.scoring import ClientConfig, ScoringClient
from client.statistics import Statistics
from client.wire.bidi import BrokenStream, InferenceStream
from tests.client.fake_triton import FakeTriton, Fault, decoded, toy_rows
from tests.client.test_scoring import assert_right, collect, config, until


def streamed(
    rows: int, prepare: Callable[[FakeTriton], None], **changes: Any
) -> tuple[dict[Any, Any], Statistics, FakeTriton]:
    """Scores so many toy rows over a stream."""

    async def main() -> tuple[dict[Any, Any], Statistics, FakeTriton]:
        async with FakeTriton() as server:
            prepare(server)
            async with ScoringClient(config(server, transport="stream", **changes)) as client:
                return await collect(client.score(toy_rows(rows))), client.statistics(), server

    return asyncio.run(main())


def test_rows_are_answered_over_the_stream() -> None:
    results, statistics, server = streamed(100, lambda server: None)
    assert_right(results, set(range(100)))
    assert (server.streamed, server.batches) == (13, [])
    assert statistics.bytes_received > 0


def test_a_refusal_is_asked_again_by_a_unary_call_which_answers_or_tells_the_status() -> None:
    """A stumble passes; here the second, unary, answer is right."""
    results, statistics, server = streamed(8, lambda server: server.script.append(Fault("INTERNAL", "oops")))
    assert_right(results, set(range(8)))
    assert (server.streamed, server.batches) == (1, [8])
    assert statistics.retries == {}


def test_a_poisoned_row_fails_alone() -> None:
    def prepare(server: FakeTriton) -> None:
        server.behaviour = lambda request: Fault("INTERNAL", "boom") if (decoded(request)["DRAW"] == 3).any() else None

    results, _, _ = streamed(8, prepare)
    assert_right(results, {0, 1, 2, 4, 5, 6})
    assert all(isinstance(results[key], Failure) and "boom" in results[key].reason for key in (3, 7))


def test_what_can_not_pass_stops_the_run_with_its_status() -> None:
    with pytest.raises(ServerError, match="INVALID_ARGUMENT"):
        streamed(8, lambda server: setattr(server, "behaviour", lambda request: Fault("INVALID_ARGUMENT", "shape")))


def test_a_broken_stream_is_opened_again() -> None:
    """Every request that was on it is sent again, and answered once."""
    results, statistics, _ = streamed(64, lambda server: server.script.extend([Fault("ABORTED")] * 2))
    assert_right(results, set(range(64)))
    assert statistics.retries["unavailable"] >= 2


class Call:
    """A call of gRPC that ends when it is told to. What it is given to read is left out."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.read_to_its_end = asyncio.Event()
        self.written: list[bytes] = []

    def done(self) -> bool:
        return self.ended.is_set()

    def cancel(self) -> None:
        self.read_to_its_end.set()

    async def write(self, request: bytes) -> None:
        self.written.append(request)

    async def read(self) -> object:
        await self.read_to_its_end.wait()
        return grpc.aio.EOF


def test_requests_of_a_broken_stream_are_told_though_the_next_stream_is_open_before_its_end_is_read() -> None:
    async def main() -> None:
        calls: list[Call] = []
        stream = InferenceStream(lambda: calls.append(Call()) or calls[-1])
        first = asyncio.create_task(stream.ask("1", b"one", 5))
        await until(lambda: bool(calls) and calls[0].written == [b"one"])
        calls[0].ended.set()
        second = asyncio.create_task(stream.ask("2", b"two", 5))
        await until(lambda: len(calls) == 2 and calls[1].written == [b"two"])
        calls[0].read_to_its_end.set()
        with pytest.raises(BrokenStream, match="the server ended the stream"):
            await asyncio.wait_for(first, 1)
        assert not second.done()
        await stream.close()
        with pytest.raises(BrokenStream):
            await second

    asyncio.run(main())


def test_a_silent_stream_is_given_up_at_the_deadline() -> None:
    with pytest.raises(ServerError, match="DEADLINE_EXCEEDED"):
        streamed(8, lambda server: server.hold.clear(), deadline_s=0.3, attempt_s=0.1)


def test_leaving_early_leaves_no_task_and_the_stream_goes_on_for_others() -> None:
    """An answer that nobody waits for any more is dropped."""

    async def main() -> None:
        async with FakeTriton() as server:
            async with ScoringClient(config(server, transport="stream")) as client:
                server.hold.clear()
                task = asyncio.create_task(collect(client.score(toy_rows(64))))
                await until(lambda: client.statistics().in_flight > 0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                server.hold.set()
                assert_right(await collect(client.score(toy_rows(32))), set(range(32)))
            named = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
            assert not [name for name in named if name.startswith(("Stream", "Delivery", "InferenceStream", "Fleet"))]

    asyncio.run(main())


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(ValueError, match="transport must be one of auto, unary, stream, shared-memory"):
        ClientConfig(("localhost:1",), transport="pigeon")
