"""The client and the Python-based backend through the real tritonserver, on models whose answers are known."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from client import contract
from client.delivery.patience import Backoff
from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.rows import Answer, Result, Row, encode_row, feature_row, loss_row
from client.scoring import ClientConfig, ScoringClient
from client.wire.connection import Connection, WireError
from tests.toy_repository import GEOMETRY, IDENTITY, toy_feature, toy_latent, toy_loss, write_toy_repository

pytestmark = pytest.mark.server

MODELS = contract.models(GEOMETRY)
RANDOM = np.random.default_rng(5)
IMAGES = RANDOM.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
LATENTS = RANDOM.standard_normal((6, 3, 4, 4), dtype=np.float32)


def onnx_runs(server: EmbeddedServer) -> dict[str, int]:
    """The backend's own count by model, from the metrics port."""
    with urllib.request.urlopen(server.metrics_url) as response:
        text = response.read().decode()
    found = re.findall(r'^selector_onnx_runs_total\{model="(\w+)"\} (\d+)', text, re.MULTILINE)
    return {model: int(count) for model, count in found}


def indices(key: int) -> tuple[int, int, int, int]:
    """Latent, prompt, reference and draw of the row with this key."""
    return key % 6, key % 4, (key // 3) % 4, (key // 5) % 4


def row(key: int) -> Row:
    """A row of noise_loss that its key determines."""
    latent, prompt, reference, draw = indices(key)
    return loss_row(key, LATENTS[latent], prompt, reference, draw)


def assert_right(result: Result) -> None:
    """The answer to `row(result.key)`."""
    assert isinstance(result, Answer), result
    latent, *rest = indices(int(str(result.key)))
    for name, value in toy_loss(LATENTS[latent], *rest).items():
        np.testing.assert_allclose(result.outputs[name], value, rtol=1e-5, atol=1e-6)


def config(server: EmbeddedServer, **changes: Any) -> ClientConfig:
    """A configuration for this server alone."""
    return ClientConfig((server.grpc_url,), **changes)


async def request(connection: Connection, key: int, **changes: int) -> dict[str, NDArray[Any]]:
    """One request of one row below the client: no packing, no checks, no retries."""
    inputs = dict(row(key).inputs)
    for name, value in changes.items():
        inputs[name] = np.array([value], np.int32)
    return await connection.infer(MODELS[contract.NOISE_LOSS], [inputs], 10.0)


def test_the_toy_models_compute_what_numpy_computes(toy_server: EmbeddedServer) -> None:
    """All four shapes of rows in one call, leaves and ensembles mixed."""

    async def main() -> None:
        async with ScoringClient(config(toy_server)) as client:
            assert (client.geometry, client.identity) == (GEOMETRY, IDENTITY)
            assert client.server_version == toy_server.version
            rows = [row(key) for key in range(50)]
            rows += [encode_row(100 + n, image) for n, image in enumerate(IMAGES)]
            rows += [feature_row(200 + n, image, n % 4) for n, image in enumerate(IMAGES)]
            keys = []
            async for result in client.score(rows):
                assert isinstance(result, Answer)
                key = int(str(result.key))
                keys.append(key)
                if key < 100:
                    assert_right(result)
                elif key < 200:
                    np.testing.assert_allclose(result.outputs["LATENT"], toy_latent(IMAGES[key - 100]), rtol=1e-6)
                else:
                    expected = toy_feature(IMAGES[key - 200], (key - 200) % 4)
                    np.testing.assert_allclose(result.outputs["FEATURE"], expected, rtol=1e-6)
            assert sorted(keys) == sorted(r.key for r in rows)

    asyncio.run(main())


def test_sixteen_single_row_requests_at_once_share_onnx_runs_and_change_no_answer(tmp_path: Path) -> None:
    """Fewer runs than requests, by the backend's own count; every answer equals the one asked alone."""
    # A long queue delay, so that the sixteen meet however slow this machine is.
    repository = write_toy_repository(tmp_path / "patient", max_batch=16, queue_delay_us=300_000)

    async def main(server: EmbeddedServer) -> None:
        connection = Connection(server.grpc_url)
        try:
            before = onnx_runs(server)
            together = await asyncio.gather(*(request(connection, key) for key in range(16)))
            after = onnx_runs(server)
            for model in (contract.PROMPT_EMBEDDING, contract.UNET):
                assert 1 <= after[model] - before[model] < 16, model
            for key in (0, 5, 15):
                alone = await request(connection, key)
                assert {name: array.tobytes() for name, array in alone.items()} == {
                    name: array.tobytes() for name, array in together[key].items()
                }
            assert onnx_runs(server)[contract.UNET] == after[contract.UNET] + 3
        finally:
            await connection.close()

    with EmbeddedServer(repository, metrics_port=0) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("PROMPT_ID", 4, "0 to 3"), ("REFERENCE_ID", -1, "0 to 3"), ("DRAW", 4, "0 to 3"), ("DRAW", -1, "0 to 3")],
)
def test_an_index_out_of_range_fails_its_own_request_and_no_other(
    toy_server: EmbeddedServer, name: str, value: int, expected: str
) -> None:
    """Among fifteen good ones that share its batches, checked by the backend itself."""

    async def main() -> None:
        connection = Connection(toy_server.grpc_url)
        try:
            results = await asyncio.gather(
                *(request(connection, key) for key in range(15)),
                request(connection, 15, **{name: value}),
                return_exceptions=True,
            )
        finally:
            await connection.close()
        for key, result in enumerate(results[:15]):
            assert isinstance(result, dict), result
            assert_right(Answer(key, {n: array[0] for n, array in result.items()}))
        bad = results[15]
        assert isinstance(bad, WireError)
        assert bad.status == "INVALID_ARGUMENT"
        assert f"{name} is {value}, expected {expected}" in bad.message

    asyncio.run(main())


def test_more_rows_than_max_batch_size_are_an_error_that_the_client_never_makes(toy_server: EmbeddedServer) -> None:
    """Triton never splits a request."""

    async def main() -> None:
        connection = Connection(toy_server.grpc_url)
        try:
            with pytest.raises(WireError, match="INVALID_ARGUMENT"):
                await connection.infer(MODELS[contract.NOISE_LOSS], [row(key).inputs for key in range(9)], 10.0)
        finally:
            await connection.close()

    asyncio.run(main())


def test_a_killed_server_costs_retries_and_no_row(toy_repository: Path) -> None:
    """kill -9 in mid-run: a new server comes on the same port, every row is answered exactly once."""

    async def main(server: EmbeddedServer) -> None:
        async with ScoringClient(config(server, backoff=Backoff(longest_s=0.2))) as client:
            keys, killing = [], None
            async for result in client.score(row(key) for key in range(4000)):
                assert_right(result)
                keys.append(result.key)
                if len(keys) == 200:
                    killing = asyncio.create_task(kill_in_mid_flight(client, server))
            assert sorted(keys) == list(range(4000))
            assert killing is not None
            await killing
            assert client.statistics().retries["unavailable"] >= 1

    with EmbeddedServer(toy_repository) as server:
        asyncio.run(main(server))
        assert server.restarts == 1


async def kill_in_mid_flight(client: ScoringClient, server: EmbeddedServer) -> None:
    """Stops the server, takes what it has answered by then, and kills it with requests unanswered.

    Killed at once it may have answered all it had: on a busy machine answers wait in the client's socket.
    """
    os.kill(server.pid, signal.SIGSTOP)
    answered = -1
    while (now := client.statistics()).rows != answered or not now.in_flight:
        answered = now.rows
        await asyncio.sleep(0.05)
    os.kill(server.pid, signal.SIGKILL)


def test_a_server_that_is_gone_for_good_ends_the_run_with_its_address(toy_repository: Path, tmp_path: Path) -> None:
    """After the deadline, not in a hang; started again, it is found again by the same client."""

    def endless() -> Iterator[Row]:
        key = 0
        while True:
            yield row(key)
            key += 1

    async def run_into_it(client: ScoringClient, server: EmbeddedServer) -> None:
        async for result in client.score(endless()):
            if result.key == 0:
                os.kill(server.pid, signal.SIGKILL)

    async def main(server: EmbeddedServer) -> None:
        async with ScoringClient(config(server, deadline_s=2.0)) as client:
            with pytest.raises(ServerError, match=rf"no answer .* UNAVAILABLE from {server.grpc_url}"):
                await run_into_it(client, server)
            server.stop()
            server.start()
            async for result in client.score([row(0)]):
                assert_right(result)

    with EmbeddedServer(toy_repository, restarts=0, log=tmp_path / "log") as server:
        asyncio.run(main(server))


def test_scores_do_not_depend_on_how_rows_were_batched(tiny_repository: Path) -> None:
    """Bit for bit, on a real UNet: one by one, in full batches, and backwards in batches that are never full."""

    async def collect(client: ScoringClient, rows: list[Row]) -> dict[Any, bytes]:
        found = {}
        async for result in client.score(rows):
            assert isinstance(result, Answer)
            found[result.key] = b"".join(result.outputs[name].tobytes() for name in sorted(result.outputs))
        return found

    async def main(server: EmbeddedServer) -> None:
        async with ScoringClient(config(server)) as client:
            g = client.geometry
            latents = RANDOM.standard_normal((3, *g.latent), dtype=np.float32)
            rows = [
                loss_row(key, latents[key % 3], 1 + key % g.classes, (key + 1) % (g.classes + 1), key % g.draws)
                for key in range(23)
            ]
            together = await collect(client, rows)
            alone: dict[Any, bytes] = {}
            for one in rows:
                alone |= await collect(client, [one])
            assert alone == together
        async with ScoringClient(config(server, rows_in_flight=5)) as client:
            assert await collect(client, rows[::-1]) == together

    with EmbeddedServer(tiny_repository) as server:
        asyncio.run(main(server))


def test_the_client_takes_rows_from_a_slow_producer_without_waiting_for_full_batches(
    toy_server: EmbeddedServer,
) -> None:
    """Each row is answered before the next is made."""

    async def main() -> None:
        answered = asyncio.Queue[int]()

        async def producer() -> AsyncIterator[Row]:
            for key in range(3):
                yield row(key)
                async with asyncio.timeout(10):
                    assert await answered.get() == key

        async with ScoringClient(config(toy_server)) as client:
            async for result in client.score(producer()):
                assert_right(result)
                answered.put_nowait(int(str(result.key)))

    asyncio.run(main())
