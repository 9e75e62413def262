"""The built-in data scored through MLServer and through Triton: the same picks (`make test-oip`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from client import contract
from client.bench.bench import run as bench
from client.bench.config import BenchConfig
from client.bench.measure import Measuring
from client.embedded.server import EmbeddedServer
from client.inspection import inspect
from client.wire import Connection, Security, WireError
from selector.builtin import builtin_repository
from tests.e2e.command import manifest, picks, selector
from tests.interoperability.servers import MISSING, mlserver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.mlserver,
    pytest.mark.server,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
    pytest.mark.timeout(900),
]

PER_CLASS, IPC = 10, 5
"""The first ten scenes of each of the ten classes."""


@pytest.fixture(scope="module")
def triton() -> Iterator[str]:
    with EmbeddedServer(builtin_repository()) as server:
        yield server.grpc_url


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlserver(builtin_repository(), tmp_path_factory.mktemp("mlserver") / "folder") as address:
        yield address


def run(out: Path, *server: object) -> list[dict[str, Any]]:
    selector("run", "--ipc", IPC, "--limit-per-class", PER_CLASS, "--out", out, "--server", *server)
    assert manifest(out, IPC)["counts"]["scored"] == 10 * PER_CLASS
    return picks(out, IPC)


def typicalities(out: Path) -> dict[str, float]:
    """Of every scene's window, by its path."""
    shards = sorted((out / "store" / "patches").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(shard, columns=["source", "typicality"]) for shard in shards])
    return dict(zip(table["source"].to_pylist(), table["typicality"].to_pylist(), strict=True))


def test_the_picks_are_those_of_triton(triton: str, other: str, tmp_path: Path) -> None:
    """And the typicalities within 1e-6."""
    expected = run(tmp_path / "triton", triton)
    found = run(tmp_path / "mlserver", other, "--repository", builtin_repository())
    assert len(found) == 10 * IPC
    for one, same in zip(found, expected, strict=True):
        for field in ("typicality", "standard_error", "membership"):
            assert one.pop(field) == pytest.approx(same.pop(field), rel=1e-4, abs=1e-6)
        assert one == same
    here, there = typicalities(tmp_path / "mlserver"), typicalities(tmp_path / "triton")
    assert here.keys() == there.keys()
    assert len(here) == 10 * PER_CLASS
    apart = max(abs(here[source] - there[source]) for source in here)
    print(f"\n{len(found)} picks of {10 * PER_CLASS} scenes are Triton's; typicalities at most {apart:.1e} apart")
    assert apart <= 1e-6


def test_what_the_server_has_of_tritons_extensions_is_what_the_docs_say(other: str) -> None:
    async def main() -> dict[str, str]:
        connection = Connection(other)
        said = {}
        try:
            for name, call in (
                ("index", connection.index(5)),
                ("configuration", connection.model(contract.UNET, 5)),
                ("statistics", connection.statistics(5)),
                ("shared memory", connection.register("none", 64, 5)),
            ):
                try:
                    await call
                    said[name] = "answered"
                except WireError as error:
                    said[name] = error.status
            assert not await connection.model_ready(contract.NOISE_LOSS, 5)
        finally:
            await connection.close()
        return said

    assert asyncio.run(main()) == {
        "index": "answered",
        "configuration": "UNIMPLEMENTED",
        "statistics": "UNIMPLEMENTED",
        "shared memory": "UNIMPLEMENTED",
    }
    found = asyncio.run(inspect(other, Security()))
    assert found.software == "mlserver 1.7.1"
    assert all(model.ready for model in found.models)


def test_without_a_repository_a_run_ends_with_what_to_give(other: str, tmp_path: Path) -> None:
    done = selector("run", "--ipc", 1, "--limit-per-class", 1, "--out", tmp_path, "--server", other, code=4)
    assert "can't say what it serves" in done.stderr
    assert "--repository DIR beside --server" in done.stderr


def test_a_share_of_tritons_throughput_is_reached(triton: str, other: str) -> None:
    """The whole path of scoring, in turns; the share is printed for docs/interoperability.md."""
    shares = []
    for _ in range(3):
        rates = [rate(triton), rate(other)]
        shares.append(rates[1] / rates[0])
        print(f"\nscoring-path, rows/s: Triton {rates[0]:.0f}, MLServer {rates[1]:.0f}: {shares[-1]:.2f}")
    assert sorted(shares)[1] > 0.1


def rate(server: str) -> float:
    config = BenchConfig(
        builtin_repository(),
        "scoring-path",
        (server,),
        batch=8,
        concurrency=(2,),
        measuring=Measuring(interval_s=4.0, most_intervals=4),
        said=builtin_repository(),
    )
    return bench(config).best.rows_per_s
