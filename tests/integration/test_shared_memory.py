"""Rows by shared memory on real servers: the same bits as by messages, whatever becomes of server and client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from client import contract
from client.delivery.patience import Backoff
from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.rows import Answer, Result, encode_row, feature_row
from client.scoring import ClientConfig, ScoringClient
from client.shared_memory import slab
from client.wire import transports
from client.wire.connection import Connection, WireError
from client.wire.security import Security
from tests.integration.processes import SHARED_MEMORY, until
from tests.integration.test_served_scoring import IMAGES, MODELS, assert_right, row

pytestmark = pytest.mark.server

SECRET = "open-sesame"
ALLOWED = Security(headers=(("triton-grpc-protocol-key", SECRET),))


@pytest.fixture(scope="module")
def guarded(toy_repository: Path) -> Iterator[EmbeddedServer]:
    """A server that shares memory with those who know the secret, and is brought back when it is killed."""
    restricted = f"--grpc-restricted-protocol=shared-memory:key={SECRET}"
    with EmbeddedServer(toy_repository, threads=1, restarts=100, grace_s=1.0, arguments=(restricted,)) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a segment of ours."""
    yield
    assert not list(SHARED_MEMORY.glob(f"{slab.PREFIX}*"))
    assert not our_regions(os.getpid())


def our_regions(pid: int) -> set[str]:
    """The names of the client's segments that a process has mapped, removed ones too."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    paths = (Path(line.split(maxsplit=5)[5].removesuffix(" (deleted)")) for line in lines if str(SHARED_MEMORY) in line)
    return {path.name for path in paths if path.name.startswith(slab.PREFIX)}


def sharing(server: EmbeddedServer, **changes: Any) -> ClientConfig:
    """The configuration of a client that shares memory with this server."""
    return ClientConfig((server.grpc_url,), **{"transport": "shared-memory", "security": ALLOWED, **changes})


async def collect(results: AsyncIterator[Result]) -> dict[Any, Any]:
    """The outputs of every answer as bytes, by key; a key that comes twice is an error."""
    found: dict[Any, Any] = {}
    async for result in results:
        assert isinstance(result, Answer), result
        assert result.key not in found
        found[result.key] = {name: array.tobytes() for name, array in result.outputs.items()}
    return found


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def stopped(pid: int) -> AsyncIterator[None]:
    """Inside, the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_answers_are_those_of_unary_calls_bit_for_bit(toy_server: EmbeddedServer) -> None:
    """Leaves and ensembles; afterwards neither side has a segment mapped."""
    rows = [row(key) for key in range(200)]
    rows += [encode_row(("encode", n), image) for n, image in enumerate(IMAGES)]
    rows += [feature_row(("feature", n), image, n % 4) for n, image in enumerate(IMAGES)]

    async def main(transport: str) -> dict[Any, Any]:
        async with ScoringClient(sharing(toy_server, transport=transport)) as client:
            found = await collect(client.score(rows))
            shared = client.statistics().shared_requests
            assert (shared > 0) == (transport == "shared-memory")
            assert client.statistics().shared_fallbacks == client.statistics().slots_retired == 0
            assert len(our_regions(toy_server.pid) - before) == (transport == "shared-memory")
            return found

    before = our_regions(toy_server.pid)
    by_memory, by_message = (asyncio.run(main(transport)) for transport in ("shared-memory", "unary"))
    assert by_memory == by_message
    assert len(by_memory) == len(rows)
    assert our_regions(toy_server.pid) == before


def test_a_server_that_stands_still_costs_slots_and_no_wrong_value(guarded: EmbeddedServer) -> None:
    """Attempts are given up while it stands, and read when it goes on; their slots stay out of use."""

    async def main() -> None:
        settings = sharing(guarded, attempt_s=0.3, deadline_s=60, backoff=Backoff(0.01, 0.05))
        async with ScoringClient(settings) as client:
            seen = set()
            async for result in client.score(row(key) for key in range(600)):
                assert_right(result)
                assert result.key not in seen
                seen.add(result.key)
                if len(seen) == 200:
                    async with stopped(guarded.pid):
                        await eventually(lambda: client.statistics().slots_retired >= 4)
            assert len(seen) == 600
            assert client.statistics().shared_fallbacks == 0
        assert our_regions(guarded.pid) == before

    before = our_regions(guarded.pid)
    asyncio.run(main())


def test_a_restarted_server_gets_a_new_segment(guarded: EmbeddedServer) -> None:
    """It knows none of the old, whose name is gone; no row is at fault."""

    async def main() -> None:
        async with ScoringClient(sharing(guarded)) as client:
            first = await collect(client.score(row(key) for key in range(200)))
            shared, pid = client.statistics().shared_requests, guarded.pid
            os.kill(pid, signal.SIGKILL)
            assert await collect(client.score(row(key) for key in range(200))) == first
            assert guarded.pid != pid
            assert client.statistics().shared_requests > shared
            assert len(our_regions(guarded.pid)) == 1
        assert our_regions(guarded.pid) == set()

    asyncio.run(main())


def test_a_server_that_forbids_it_is_an_error_by_name_and_messages_for_auto(
    guarded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once, with what to do."""
    monkeypatch.setattr(transports, "SHARED_BYTES", 1)

    async def main() -> None:
        with pytest.raises(ServerError, match=r"protocol is restricted[\s\S]*--header-file"):
            async with ScoringClient(sharing(guarded, security=Security())):
                pass
        caplog.clear()
        async with ScoringClient(sharing(guarded, security=Security(), transport="auto")) as client:
            async for result in client.score(row(key) for key in range(100)):
                assert_right(result)
            assert client.statistics().shared_requests == 0
            assert client.statistics().shared_fallbacks > 0

    asyncio.run(main())
    (told,) = [record for record in caplog.records if record.name.startswith("client.shared_memory")]
    assert "--header-file" in told.getMessage()


def test_a_server_with_another_shared_memory_gets_messages(
    toy_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container without --ipc=host: the segment is not where the server looks."""
    monkeypatch.setattr(slab, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(transports, "SHARED_BYTES", 1)

    async def main() -> None:
        async with ScoringClient(sharing(toy_server, transport="auto")) as client:
            async for result in client.score(row(key) for key in range(100)):
                assert_right(result)
            assert client.statistics().shared_requests == 0
        with pytest.raises(ServerError, match="--ipc=host"):
            async with ScoringClient(sharing(toy_server)):
                pass

    asyncio.run(main())
    assert "--ipc=host" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_failed_ensemble_whose_other_step_still_reads_does_not_bring_the_server_down(guarded: EmbeddedServer) -> None:
    """Its error comes while images wait for the encoder. Unregistering then kills server 2.51 with SIGSEGV."""
    encoder = next(
        child
        for child in psutil.Process(guarded.pid).children()
        if f"/{contract.VAE_ENCODER}/" in " ".join(child.cmdline())
    )
    pid = guarded.pid

    async def main() -> None:
        connection = Connection(guarded.grpc_url, ALLOWED, transport="shared-memory")
        await connection.open_transport(10.0)
        bad = {"IMAGE": IMAGES[0], "PROMPT_ID": np.array([9], np.int32)}
        async with stopped(encoder.pid):
            requests = (connection.infer(MODELS[contract.PATCH_FEATURES], [bad], 10.0) for _ in range(4))
            errors = await asyncio.gather(*requests, return_exceptions=True)
            await connection.close()
        assert all(isinstance(error, WireError) and error.status == "INVALID_ARGUMENT" for error in errors), errors
        assert connection.sharing().retired == 4
        async with ScoringClient(sharing(guarded)) as client:
            rows = [encode_row(n, image) for n, image in enumerate(IMAGES)]
            assert len(await collect(client.score(rows))) == len(IMAGES)

    asyncio.run(main())
    assert guarded.pid == pid


def test_a_client_that_is_killed_leaves_no_segment(toy_server: EmbeddedServer) -> None:
    """SIGKILL in the middle of a stream: the name went when the server had it mapped."""
    program = """
import asyncio, sys
from client.scoring import ClientConfig, ScoringClient
from tests.integration.test_served_scoring import row

async def main():
    async with ScoringClient(ClientConfig((sys.argv[1],), transport="shared-memory")) as client:
        count = 0
        async for _ in client.score(row(key) for key in range(10**9)):
            count += 1
            if count == 100:
                print("on its way", flush=True)

asyncio.run(main())
"""
    before = our_regions(toy_server.pid)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, toy_server.grpc_url], cwd=root, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on its way\n"
        until(lambda: len(our_regions(toy_server.pid) - before) == 1, "the server has its segment mapped")
        child.kill()
    assert not list(SHARED_MEMORY.glob(f"{slab.PREFIX}*"))
