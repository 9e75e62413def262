"""Long streams and early ends, on a real server: memory stays level, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from client.embedded.server import EmbeddedServer
from client.rows import Answer, Result
from client.scoring import ClientConfig, ScoringClient
from client.shared_memory.slab import PREFIX
from tests.integration.processes import SHARED_MEMORY, mapped_regions, until
from tests.integration.test_served_scoring import row

pytestmark = pytest.mark.server


def grown(server: EmbeddedServer, warm: int, rows: int, transport: str = "auto") -> float:
    """Resident memory at the end of a stream by that after its first `warm` rows, less 1."""
    process = psutil.Process()

    async def main() -> float:
        first = 0
        async with ScoringClient(ClientConfig((server.grpc_url,), transport=transport)) as client:
            count = 0
            async for result in client.score(row(key) for key in range(rows)):
                assert isinstance(result, Answer)
                count += 1
                if count == warm:
                    first = process.memory_info().rss
            assert count == rows
            print(f"{rows} rows: {first >> 10} KiB after {warm}, {process.memory_info().rss >> 10} KiB at the end")
            return process.memory_info().rss / first - 1

    return asyncio.run(main())


@pytest.mark.parametrize("transport", ["auto", "shared-memory"])
def test_memory_stays_level_over_a_long_stream(toy_server: EmbeddedServer, transport: str) -> None:
    assert grown(toy_server, 4_000, 12_000, transport) < 0.05


@pytest.mark.slow
def test_memory_stays_level_over_two_hundred_thousand_rows(toy_server: EmbeddedServer) -> None:
    assert grown(toy_server, 20_000, 200_000) < 0.05


@pytest.mark.parametrize("transport", ["auto", "shared-memory"])
def test_cancelling_the_caller_leaves_no_task_thread_descriptor_or_segment(
    toy_server: EmbeddedServer, transport: str
) -> None:
    """Compared with what was there before; the server holds none of its rows any more, and no memory of ours."""
    process = psutil.Process()

    async def take(results: AsyncIterator[Result], count: int, reached: asyncio.Event) -> None:
        seen = 0
        async for _ in results:
            seen += 1
            if seen == count:
                reached.set()

    async def once() -> None:
        config = ClientConfig((toy_server.grpc_url,), metrics_address="0", transport=transport)
        async with ScoringClient(config) as client:
            reached = asyncio.Event()
            async with aclosing(client.score(row(key) for key in range(10**9))) as results:
                consumer = asyncio.create_task(take(results, 200, reached))
                async with asyncio.timeout(20):
                    await reached.wait()
                consumer.cancel()
                await asyncio.gather(consumer, return_exceptions=True)
            assert client.statistics().in_flight == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def descriptors() -> set[str]:
        return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()}

    def our_regions() -> set[Path]:
        both = mapped_regions(os.getpid()) | mapped_regions(toy_server.pid)
        return {path for path in both if path.name.startswith(PREFIX)}

    mapped = our_regions()
    asyncio.run(once())  # what gRPC makes once for good
    threads, segments, sockets = threading.active_count(), set(SHARED_MEMORY.iterdir()), len(process.net_connections())
    for _ in range(3):
        asyncio.run(once())
    until(lambda: threading.active_count() <= threads, "threads end")
    until(lambda: len(process.net_connections()) <= sockets, "sockets are closed")
    assert {path for path in SHARED_MEMORY.iterdir() if path not in segments and path.name.startswith(PREFIX)} == set()
    assert not [name for name in descriptors() if "deleted" in name and "shm" in name]
    assert our_regions() == mapped
