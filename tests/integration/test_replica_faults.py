"""Two real servers of one repository, killed, stopped and slowed while rows stream: nothing is lost, nothing is wrong."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from client.delivery.patience import Backoff
from client.embedded import overlay
from client.embedded.server import EmbeddedServer
from client.errors import EmbeddedError
from client.rows import Answer, Row, loss_row
from client.scoring import ClientConfig, ScoringClient
from client.statistics import Statistics
from client.wire import Health
from tests.integration.processes import until
from tests.toy_repository import write_toy_repository

pytestmark = pytest.mark.server

LATENTS = np.random.default_rng(11).standard_normal((97, 3, 4, 4), dtype=np.float32)


def row(key: int) -> Row:
    """A row of noise_loss that its key determines."""
    return loss_row(key, LATENTS[key % 97], key % 4, (key // 4) % 4, (key // 16) % 4)


def content(result: Any) -> bytes:
    """All bytes of an answer."""
    assert isinstance(result, Answer), result
    return b"".join(result.outputs[name].tobytes() for name in sorted(result.outputs))


def undisturbed(server: EmbeddedServer) -> dict[int, bytes]:
    """The answers of one server that nobody disturbs; a row's content repeats after 97 × 64 keys."""

    async def main() -> dict[int, bytes]:
        async with ScoringClient(ClientConfig((server.grpc_url,))) as client:
            return {int(str(r.key)): content(r) async for r in client.score(row(key) for key in range(97 * 64))}

    return asyncio.run(main())


@pytest.fixture(scope="module")
def pair(toy_repository: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Two servers that their supervisors bring back however often they are killed."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(EmbeddedServer(toy_repository, restarts=1000, threads=1)) for _ in range(2))  # type: ignore[misc]


@pytest.fixture(scope="module")
def expected(pair: tuple[EmbeddedServer, EmbeddedServer]) -> dict[int, bytes]:
    """Key modulo its length → the right answer."""
    return undisturbed(pair[0])


@pytest.fixture(autouse=True)
def calm(pair: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    """What an earlier test killed is back."""
    for server in pair:
        until(lambda server=server: Health(server.grpc_url).live(), "the server is live", 60)  # type: ignore[misc]
        assert not Health(server.grpc_url).failed_models()


def kill(server: EmbeddedServer) -> bool:
    """Kills a server's process as hard as can be; False if it is between two lives."""
    try:
        os.kill(server.pid, signal.SIGKILL)
    except (ProcessLookupError, EmbeddedError):
        return False
    return True


def stream_through_kills(
    pair: tuple[EmbeddedServer, EmbeddedServer],
    expected: dict[int, bytes],
    rows: int,
    kills: int,
    transport: str = "auto",
) -> Statistics:
    """Streams rows while servers are killed at random points; checks every answer."""
    chance = random.Random(rows)
    moments = {moment: chance.choice(pair) for moment in chance.sample(range(rows // 20, rows * 9 // 10), kills)}
    moments[min(moments)], moments[max(moments)] = pair  # each at least once

    async def main() -> Statistics:
        servers = tuple(server.grpc_url for server in pair)
        async with ScoringClient(ClientConfig(servers, backoff=Backoff(longest_s=0.5), transport=transport)) as client:
            seen: set[int] = set()
            killed = 0
            async for result in client.score(row(key) for key in range(rows)):
                key = int(str(result.key))
                assert key not in seen
                assert content(result) == expected[key % len(expected)]
                seen.add(key)
                if len(seen) in moments:
                    killed += kill(moments[len(seen)])
            assert len(seen) == rows
            assert killed >= 2
            statistics = client.statistics()
            assert statistics.rows == rows
            assert statistics.in_flight == statistics.bytes_in_flight == 0
            return statistics

    statistics = asyncio.run(main())
    print(f"{rows} rows, {kills} kills: retries {dict(statistics.retries)}, hedges {statistics.hedges}")
    return statistics


@pytest.mark.parametrize("transport", ["unary", "stream", "shared-memory"])
def test_rows_come_back_once_and_right_though_both_servers_are_killed(
    pair: tuple[EmbeddedServer, EmbeddedServer], expected: dict[int, bytes], transport: str
) -> None:
    """Bit for bit as from a server that nobody killed."""
    statistics = stream_through_kills(pair, expected, 4_000, 3, transport)
    assert sum(statistics.retries.values()) + statistics.hedges > 0
    assert all(replica.ejections >= 1 for replica in statistics.replicas)
    assert (statistics.shared_requests > 0) == (transport == "shared-memory")


@pytest.mark.slow
def test_twenty_thousand_rows_survive_a_dozen_kills_in_bounded_memory(
    pair: tuple[EmbeddedServer, EmbeddedServer], expected: dict[int, bytes]
) -> None:
    """The number of retries is told and stays small."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    statistics = stream_through_kills(pair, expected, 20_000, 12)
    assert 0 < sum(statistics.retries.values()) < 1000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10, f"{grown} KiB"
    print(f"peak memory grew by {grown} KiB")


@asynccontextmanager
async def stuttering(server: EmbeddedServer, run_s: float, stop_s: float) -> AsyncIterator[None]:
    """Inside, the server's processes run for run_s of every run_s + stop_s seconds."""
    main = psutil.Process(server.pid)
    processes = [main, *main.children(recursive=True)]

    async def stutter() -> None:
        while True:
            send(processes, signal.SIGSTOP)
            await asyncio.sleep(stop_s)
            send(processes, signal.SIGCONT)
            await asyncio.sleep(run_s)

    task = asyncio.create_task(stutter())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        send(processes, signal.SIGCONT)


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Signals those that still are: a supervisor may have replaced a server that answered nothing."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.send_signal(number)


async def rows_per_second(servers: tuple[EmbeddedServer, ...], rows: int) -> tuple[float, Statistics]:
    """Of a stream over these servers."""
    async with ScoringClient(ClientConfig(tuple(server.grpc_url for server in servers))) as client:
        started = time.monotonic()
        count = 0
        async for result in client.score(row(key) for key in range(rows)):
            assert isinstance(result, Answer)
            count += 1
        assert count == rows
        return rows / (time.monotonic() - started), client.statistics()


# Compares speeds, which other work on the machine upsets: not for every change.
@pytest.mark.slow
def test_a_replica_ten_times_slower_does_not_hold_back_a_fast_one(pair: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    """Stopped for nine tenths of the time by SIGSTOP; the fast one alone is the measure, before and after."""
    fast, slow = pair

    async def main() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(stuttering(slow, 0.05, 0.45))
            # Alternating, and the best of each: other work on this machine slows single runs.
            alone, together = [], []
            for _ in range(2):
                alone.append((await rows_per_second((fast,), 5000))[0])
                rate, statistics = await rows_per_second((fast, slow), 5000)
                together.append(rate)
        print(f"fast alone {max(alone):.0f} rows/s, with a slow one {max(together):.0f} rows/s; {statistics.replicas}")
        assert max(together) >= 0.8 * max(alone)

    asyncio.run(main())


def test_a_replica_that_stands_still_is_overtaken_and_ejected(
    pair: tuple[EmbeddedServer, EmbeddedServer], expected: dict[int, bytes]
) -> None:
    """SIGSTOP alone: its rows are answered elsewhere long before their deadline, and SIGCONT brings it back."""
    fast, still = pair

    async def main() -> None:
        addresses = (fast.grpc_url, still.grpc_url)
        async with ScoringClient(ClientConfig(addresses, attempt_s=20, deadline_s=40)) as client:
            async with asyncio.timeout(15), stuttering(still, 0, 3600):
                async for result in client.score(row(key) for key in range(2000)):
                    key = int(str(result.key))
                    assert content(result) == expected[key % len(expected)]
            statistics = client.statistics()
            assert statistics.rows == 2000
            assert statistics.hedges_won > 0
            async with asyncio.timeout(20), aclosing(client.score(row(key) for key in range(10**9))) as results:
                async for _ in results:
                    if client.statistics().replicas[1].rows > statistics.replicas[1].rows:
                        break

    asyncio.run(main())


def test_a_storm_of_full_queues_reaches_no_caller_and_narrows_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max_queue_size 2, its policy kept in the served configs."""
    repository = write_toy_repository(tmp_path / "narrow", queue_delay_us=20_000)
    for path in repository.glob("*/config.pbtxt"):
        text = path.read_text()
        found = [line for line in text.splitlines() if "max_queue_size" in line]
        for line in found:
            text = text.replace(line, line.partition(":")[0] + ": 2")
        path.write_text(text)
    monkeypatch.setattr(overlay, "without_queue_policies", lambda config: config)

    async def main(server: EmbeddedServer) -> None:
        config = ClientConfig((server.grpc_url,), backoff=Backoff(0.01, 0.2))
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(ScoringClient(config)) for _ in range(4)]
            first = clients[0].statistics().replicas[0].bound

            async def stream(client: ScoringClient) -> None:
                keys = set()
                async for result in client.score(row(key) for key in range(240)):
                    assert isinstance(result, Answer), result
                    keys.add(result.key)
                assert len(keys) == 240

            await asyncio.gather(*map(stream, clients))
            statistics = [client.statistics() for client in clients]
        refused = sum(s.retries.get("queue full", 0) for s in statistics)
        bounds = [s.replicas[0].bound for s in statistics]
        print(f"queue full {refused} times, bounds {first} -> {bounds}")
        assert refused > 0
        assert min(bounds) < first

    with EmbeddedServer(repository, threads=1) as server:
        asyncio.run(main(server))
