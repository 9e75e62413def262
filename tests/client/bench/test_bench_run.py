"""Short real runs against the embedded server: every mode, through the command where a user would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.client.pass_through import write_pass_through
from client.bench.bench import run
from client.bench.config import BenchConfig
from client.bench.measure import Measuring
from client.embedded.server import EmbeddedServer
from client.errors import ContractError
from selector.cli import cli

pytestmark = pytest.mark.server
SHORT = Measuring(interval_s=0.15, most_intervals=3)


@pytest.fixture(scope="module")
def server(tiny_repository: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tiny_repository, threads=1) as server:
        yield server


def command(server: EmbeddedServer, repository: Path, *arguments: str) -> Result:
    common = ("bench", "--server", server.grpc_url, "--repository", str(repository), "--threads", "1")
    short = ("--window", "0.15", "--max-windows", "3", "--rounds", "2", "--round-seconds", "0.1")
    return CliRunner().invoke(cli, [*common, *short, *arguments], catch_exceptions=False)


def test_the_command_writes_tables_and_every_file_it_was_asked_for(
    server: EmbeddedServer, tiny_repository: Path, tmp_path: Path
) -> None:
    files = {name: tmp_path / "new" / f"bench.{name}" for name in ("csv", "requests", "plot")}
    asked = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    done = command(server, tiny_repository, "--bare", "--slo-ms", "1000", "--concurrency", "1,2", *asked)
    assert done.exit_code == 0
    assert "served ÷ bare: median" in done.stdout
    assert files["csv"].read_text().count("\n") == 3
    lines = [json.loads(line) for line in files["requests"].read_text().splitlines()]
    assert {line["load"] for line in lines} == {1, 2}
    assert all(line["latency_ms"] > 0 and not line["error"] for line in lines)
    assert files["plot"].read_text().count("<circle") == 6


def test_the_numbers_of_client_and_server_agree(server: EmbeddedServer, tiny_repository: Path) -> None:
    report = run(BenchConfig(tiny_repository, servers=(server.grpc_url,), concurrency=(2,), measuring=SHORT))
    (level,) = report.levels
    whole = report.whole_model(level)
    assert whole is not None
    assert report.request_rows == 16  # the most that the repository takes
    assert level.answered > 0
    assert level.failed == 0
    # Counters are read a moment after an interval's end: requests that ended meanwhile are the server's alone.
    assert abs(whole.requests - level.answered) <= 4
    assert whole.rows == 16 * whole.requests
    assert 16 <= whole.batch <= 16
    assert 0 < whole.compute_infer_us / 1e3 <= level.latency.mean_ms
    assert set(level.cpu_s) == {"client"}  # another machine's processes can't be seen


def test_small_requests_are_merged_by_the_server_and_the_batch_says_so(
    server: EmbeddedServer, tiny_repository: Path
) -> None:
    config = BenchConfig(tiny_repository, servers=(server.grpc_url,), batch=1, concurrency=(12,), measuring=SHORT)
    report = run(config)
    whole = report.whole_model(report.levels[0])
    assert whole is not None
    assert 1 < whole.batch <= 12


@pytest.mark.parametrize("mode", [("--rate", "20,40", "--arrivals", "constant"), ("--latency-limit-ms", "0.000001")])
def test_rates_and_the_search_run_in_an_open_loop(
    server: EmbeddedServer, tiny_repository: Path, mode: tuple[str, ...]
) -> None:
    done = command(server, tiny_repository, "--batch-size", "2", "--json", *mode)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {level["mode"] for level in found["levels"]} == {"rate"}
    if "--rate" in mode:
        assert [level["load"] for level in found["levels"]] == [20, 40]
    else:
        assert found["kept_requests_per_s"] == 0  # nothing answers within a nanosecond


def test_the_scoring_path_is_measured_whole_and_bare(server: EmbeddedServer, tiny_repository: Path) -> None:
    done = command(
        server, tiny_repository, "--model", "scoring-path", "--batch-size", "3", "--path-draws", "4", "--bare", "--json"
    )
    found = json.loads(done.stdout)
    assert found["request_rows"] == 3 * (4 + 2)
    assert {one["model"] for one in found["levels"][0]["servers"]} >= {"vae_encoder", "noise_loss", "patch_features"}
    assert found["served_over_bare"]["median"] > 0


def test_a_model_outside_the_contract_is_measured_over_the_wire(tmp_path: Path) -> None:
    repository = write_pass_through(tmp_path, side=64)
    config = BenchConfig(
        repository, model="pass_through", concurrency=(2,), measuring=SHORT, bare=True, rounds=1, round_s=0.1
    )
    report = run(config)
    assert report.embedded
    assert report.request_rows == 8
    assert report.levels[0].answered > 0
    assert {"client", "tritonserver", "stub of pass_through"} <= set(report.levels[0].cpu_s)
    assert report.comparison is not None
    assert set(report.comparison.rounds[0].served_cpu_ms) == set(report.levels[0].cpu_s)


def test_requests_above_the_models_largest_batch_are_refused(server: EmbeddedServer, tiny_repository: Path) -> None:
    with pytest.raises(ContractError, match="takes at most 16 rows in a request, not 17"):
        run(BenchConfig(tiny_repository, servers=(server.grpc_url,), batch=17))


def test_bare_refuses_graphs_of_another_pipeline(server: EmbeddedServer) -> None:
    from selector.builtin import builtin_repository

    with pytest.raises(ContractError, match="is another pipeline"):
        run(BenchConfig(builtin_repository(), servers=(server.grpc_url,), bare=True))
