"""`selector bench` beside NVIDIA's perf_analyzer: one embedded server, the same payload, turn by turn.

    pip install perf-analyzer                # a wheel of 2.60 and newer; it needs glibc 2.38
    python -m benchmarks.client.beside_perf_analyzer
    python -m benchmarks.client.beside_perf_analyzer \\
        --perf-analyzer "FOLDER/ld-linux-x86-64.so.2 --library-path FOLDER perf_analyzer"

The second form is for a machine with an older glibc, where a newer one lies in a folder. Both send unary calls by TCP, keep as
many requests in flight, and measure three intervals of 2 s, whether they agree or not; each takes its turn in every round, so
that what else runs on the machine meets both alike. Where perf_analyzer does not run, the script says why and exits with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from client import contract
from client.bench.payloads import random_requests
from client.contract import Model
from client.embedded.server import EmbeddedServer
from client.scoring import ClientConfig, ScoringClient
from selector.builtin import builtin_repository

WINDOW_S, WINDOWS = 2, 3


def why_not(perf_analyzer: list[str]) -> str:
    """Why perf_analyzer can't run here; "" if it can."""
    try:
        done = subprocess.run([*perf_analyzer, "--version"], capture_output=True, text=True)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip().splitlines()[0]


async def served_model(address: str, name: str) -> Model:
    """A model of the contract, in the sizes of this server."""
    async with ScoringClient(ClientConfig((address,))) as client:
        return contract.models(client.geometry)[name]


def write_payload(model: Model, rows: int, path: Path) -> None:
    """Random rows as perf_analyzer reads them: what `selector bench` sends, values of its generator."""
    requests = random_requests(model, rows, seed=0)
    data = [
        {
            name: {"content": value.reshape(-1).tolist(), "shape": list(value.shape)}
            for name, value in row.inputs.items()
        }
        for request in requests
        for row in request
    ]
    path.write_text(json.dumps({"data": data}))


def theirs(command: list[str], address: str, model: str, rows: int, concurrency: int, folder: Path) -> float:
    """Rows a second by perf_analyzer."""
    asked = ("-m", model, "-u", address, "-i", "grpc", "--async", "-b", rows, "--concurrency-range", concurrency)
    files = (
        "--input-data",
        folder / "payload.json",
        "-f",
        folder / "out.csv",
        "--measurement-interval",
        WINDOW_S * 1000,
    )
    once = ("--stability-percentage", 999, "--max-trials", WINDOWS)  # else a busy machine gives no number at all
    subprocess.run([*command, *map(str, (*asked, *files, *once))], check=True, stdout=subprocess.DEVNULL)
    with (folder / "out.csv").open(newline="") as file:
        return float(next(csv.DictReader(file))["Inferences/Second"])


def ours(address: str, model: str, rows: int, concurrency: int) -> float:
    """Rows a second by `selector bench`."""
    asked = ("--server", address, "--model", model, "--batch-size", rows, "--concurrency", concurrency)
    once = ("--window", WINDOW_S, "--max-windows", WINDOWS, "--transport", "unary", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "selector", "bench", *map(str, (*asked, *once))],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout)["levels"][0]["rows_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--perf-analyzer", default="perf_analyzer", help="how it is called here")
    parser.add_argument("--model", default=contract.NOISE_LOSS)
    parser.add_argument("--rows", type=int, default=16, help="of a request")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    command = shlex.split(asked.perf_analyzer)
    if reason := why_not(command):
        sys.exit(f"perf_analyzer does not run here: {reason}. Its wheel needs glibc 2.38; see --perf-analyzer")
    pairs = []
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(builtin_repository(), grpc_port=0, threads=1) as server,
    ):
        write_payload(
            asyncio.run(served_model(server.grpc_url, asked.model)), asked.rows, Path(folder) / "payload.json"
        )
        for number in range(asked.rounds):
            settings = (server.grpc_url, asked.model, asked.rows, asked.concurrency)
            pair = (ours(*settings), theirs(command, *settings, Path(folder)))
            print(f"round {number + 1}: selector bench {pair[0]:.1f} rows/s, perf_analyzer {pair[1]:.1f}", flush=True)
            pairs.append(pair)
    ratios = [mine / other for mine, other in pairs]
    print(
        f"medians: {statistics.median(p[0] for p in pairs):.1f} and {statistics.median(p[1] for p in pairs):.1f} rows/s; "
        f"ours ÷ theirs {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
