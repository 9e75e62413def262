"""Which way a request goes, and rows by shared memory: right values, and no slot that is used again too early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.errors import ServerError
from client.rows import Failure
from client.scoring import ScoringClient
from client.shared_memory import slab
from client.statistics import Statistics
from client.wire import transports
from client.wire.connection import Connection
from tests.client.fake_triton import FakeTriton, Fault, decoded, toy_rows
from tests.client.shared_memory.fake_regions import Regions
from tests.client.test_scoring import assert_right, collect, config, until


def sharing_server(server: FakeTriton) -> Regions:
    """Gives a fake server shared memory, and the version of one that counts readers."""
    server.version, server.regions = "2.51.0", Regions()
    return server.regions


def shared(
    rows: int, prepare: Callable[[FakeTriton], None] = lambda server: None, **changes: Any
) -> tuple[dict[Any, Any], Statistics, Regions]:
    """Scores toy rows by shared memory."""

    async def main() -> tuple[dict[Any, Any], Statistics, Regions]:
        async with FakeTriton() as server:
            regions = sharing_server(server)
            prepare(server)
            async with ScoringClient(config(server, transport="shared-memory", **changes)) as client:
                results, statistics = await collect(client.score(toy_rows(rows))), client.statistics()
            return results, statistics, regions

    return asyncio.run(main())


def test_rows_are_answered_by_shared_memory_and_nothing_is_left() -> None:
    """The large input in a slot, the small ones in the message; then the server has no region any more."""
    before = set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*"))
    results, statistics, regions = shared(100)
    assert_right(results, set(range(100)))
    assert (statistics.shared_requests, statistics.shared_fallbacks, statistics.slots_retired) == (13, 0, 0)
    assert statistics.shared_bytes == 100 * 48 * 4
    assert len(regions.readings) == 13
    assert (regions.registered, regions.maps) == (1, {})
    assert set(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*")) == before


def test_the_slot_of_a_request_that_was_given_up_never_carries_another_row() -> None:
    """The server holds them all; every attempt lies in bytes of its own, and they are as they were when it came."""

    async def main() -> None:
        async with FakeTriton() as server:
            regions = sharing_server(server)
            server.hold.clear()
            settings = config(server, transport="shared-memory", attempt_s=0.05, deadline_s=60)
            async with ScoringClient(settings) as client:
                task = asyncio.create_task(collect(client.score(toy_rows(32))))
                await until(lambda: server.cancelled >= 12)
                server.hold.set()
                assert_right(await task, set(range(32)))
                given_up = [reading for reading in regions.readings if not reading.over]
                assert len(given_up) >= 12
                # Whatever came, before and after, keeps off their bytes.
                for one in given_up:
                    assert not any(one.overlaps(other) for other in regions.readings if other is not one)
                for reading in given_up:
                    at = slice(reading.offset, reading.offset + reading.nbytes)
                    assert regions.maps[reading.region][at] == reading.content
                assert client.statistics().slots_retired >= 12
                regions.finish()
            assert regions.maps == {}

    asyncio.run(main())


def test_a_server_that_was_restarted_gets_a_new_region_and_no_row_is_at_fault() -> None:
    """NOT_FOUND of a region is not NOT_FOUND of a model."""

    async def main() -> None:
        async with FakeTriton() as server:
            regions = sharing_server(server)
            async with ScoringClient(config(server, transport="shared-memory")) as client:
                assert_right(await collect(client.score(toy_rows(32))), set(range(32)))
                regions.forget()
                assert_right(await collect(client.score(toy_rows(32))), set(range(32)))
                assert (regions.registered, client.statistics().retries) == (2, {})
                server.regions = None  # and one that has no shared memory any more
                regions.forget()
                server.regions = Refusing()
                assert_right(await collect(client.score(toy_rows(32))), set(range(32)))
                assert client.statistics().shared_fallbacks > 0

    asyncio.run(main())


class Refusing(Regions):
    """Registers nothing, and knows no region."""

    def register(self, name: str, key: str) -> None:
        raise FileNotFoundError(name)


def test_a_queue_that_refuses_costs_no_slot_where_one_step_runs_at_a_time() -> None:
    """noise_loss is such an ensemble: when it fails, no other step reads."""
    full = Fault("UNAVAILABLE", "Exceeds maximum queue size")
    results, statistics, _ = shared(8, lambda server: server.script.extend([full] * 3))
    assert_right(results, set(range(8)))
    assert (statistics.retries, statistics.slots_retired) == ({"queue full": 3}, 0)


def test_any_other_error_retires_its_slot() -> None:
    """It says nothing of who still reads."""
    results, statistics, _ = shared(8, lambda server: server.script.extend([Fault("UNAVAILABLE")] * 3))
    assert_right(results, set(range(8)))
    assert statistics.slots_retired == 3


def test_a_poisoned_row_fails_alone() -> None:
    def prepare(server: FakeTriton) -> None:
        server.behaviour = lambda request: Fault("INTERNAL", "boom") if (decoded(request)["DRAW"] == 3).any() else None

    results, _, _ = shared(8, prepare)
    assert_right(results, {0, 1, 2, 4, 5, 6})
    assert all(isinstance(results[key], Failure) and "boom" in results[key].reason for key in (3, 7))


def test_what_can_not_pass_stops_the_run_with_its_status() -> None:
    """An INVALID_ARGUMENT that does not name our region is about the rows."""
    with pytest.raises(ServerError, match="INVALID_ARGUMENT"):
        shared(8, lambda server: setattr(server, "behaviour", lambda request: Fault("INVALID_ARGUMENT", "shape")))


def test_a_server_that_can_not_see_our_memory_is_an_error_by_name_and_a_fallback_for_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container of its own: our segment is made elsewhere than where the server looks."""
    monkeypatch.setattr(transports, "SHARED_BYTES", 1)
    look = Regions.register

    def register_elsewhere(regions: Regions, name: str, key: str) -> None:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(slab, "SHARED_MEMORY", tmp_path)
            look(regions, name, key)

    monkeypatch.setattr(Regions, "register", register_elsewhere)

    async def main() -> None:
        async with FakeTriton() as server:
            sharing_server(server)
            with pytest.raises(ServerError, match=r"shared-memory can't be had from [\s\S]*--ipc=host"):
                async with ScoringClient(config(server, transport="shared-memory")):
                    pass
            async with ScoringClient(config(server)) as client:
                assert_right(await collect(client.score(toy_rows(64))), set(range(64)))
                assert client.statistics().shared_requests == 0
                assert client.statistics().shared_fallbacks == 8

    asyncio.run(main())
    assert "--ipc=host" in caplog.text
    assert not list(slab.SHARED_MEMORY.glob(f"{slab.PREFIX}*"))


def test_a_server_without_shared_memory_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeTriton() as server:
            with pytest.raises(ServerError, match=r"UNIMPLEMENTED[\s\S]*--allow-client-shm"):
                async with ScoringClient(config(server, transport="shared-memory")):
                    pass

    asyncio.run(main())


def test_a_server_elsewhere_is_never_asked_for_shared_memory() -> None:
    """By name it is an error at the start."""

    async def main() -> None:
        connection = Connection("gpu1.example:8001", transport="shared-memory")
        try:
            with pytest.raises(ServerError, match=r"on this machine, not gpu1\.example:8001"):
                await connection.open_transport(1.0)
        finally:
            await connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("shared_from", "stream_from", "went"),
    [(1, 1, "shared"), (10**6, 1, "streamed"), (10**6, 10**6, "unary"), (12 * 192, 1, "streamed")],
)
def test_auto_chooses_by_the_size_of_the_request(
    shared_from: int, stream_from: int, went: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine: shared memory first, then the stream. Eight toy rows have 8 × 192 bytes of latents."""
    monkeypatch.setattr(transports, "SHARED_BYTES", shared_from)
    monkeypatch.setattr(transports, "STREAM_BYTES", stream_from)

    async def main() -> None:
        async with FakeTriton() as server:
            sharing_server(server)
            async with ScoringClient(config(server)) as client:
                assert_right(await collect(client.score(toy_rows(8))), set(range(8)))
                shared_requests = client.statistics().shared_requests
        assert {"shared": shared_requests, "streamed": server.streamed}.get(went, len(server.batches)) == 1
        assert (shared_requests > 0, server.streamed > 0) == (went == "shared", went == "streamed")

    asyncio.run(main())


def test_cancelling_the_caller_leaves_no_region_once_the_server_is_done() -> None:
    async def main() -> None:
        async with FakeTriton() as server:
            regions = sharing_server(server)
            async with ScoringClient(config(server, transport="shared-memory")) as client:
                server.hold.clear()
                task = asyncio.create_task(collect(client.score(toy_rows(64))))
                await until(lambda: client.statistics().in_flight > 0)
                await until(lambda: len(regions.readings) > 0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await until(lambda: server.cancelled == len(regions.readings))
                closing = asyncio.get_running_loop().call_later(0.05, regions.finish)
            assert closing.when() <= asyncio.get_running_loop().time()
            assert regions.maps == {}

    asyncio.run(main())
