"""Rows a second of one process and of four parts: on one server, and on a simulated fleet of four servers.

    python -m benchmarks.clusters.throughput > runs/results/parts.md

Owns these measurements. Each case takes its turn in every round, so that what else runs on the machine meets all alike, and a
ratio is that of a round. A rate is of the UNet's rows that servers counted, from the first tenth of all rows to the last: starts
and ends of processes lie outside, and the seconds of the whole commands stand beside it. The fleet's servers are real ones of a
repository whose UNet takes 50 ms a batch of 4 and no CPU (stub.py), one batch at a time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from tritonclient.grpc import InferenceServerClient

from benchmarks.clusters.stub import write_stub
from benchmarks.selection.scale_data import Size, class_name, write_shards
from client.contract import UNET
from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository, builtin_scenes
from selector.errors import SelectorError

PARTS, CLASSES = 4, 10
SLEEP_S, BATCH, FLEET_DRAWS = 0.05, 4, 8
_POLL_S = 0.1
_SETTINGS = ("--workers", "1", "--shard-size", "16", "--json")  # small shards: parts end together


@dataclass(frozen=True)
class Case:
    """servers: the addresses of every process's servers; there are as many parts as entries."""

    name: str
    data: Path
    draws: int
    servers: Sequence[str]


@dataclass(frozen=True)
class Measured:
    """rate: rows a second. seconds: of the whole commands."""

    rate: float
    seconds: float


def answered(servers: Sequence[str]) -> int:
    """Rows that the UNets of these servers answered."""
    total = 0
    for address in servers:
        with InferenceServerClient(address) as client:
            (stats,) = client.get_inference_statistics(UNET).model_stats
            total += int(stats.inference_count)
    return total


def measure(case: Case) -> Measured:
    """Scores the data into a new store; raises SelectorError if a process fails."""
    servers = sorted({one for entry in case.servers for one in entry.split(",")})
    before, started = answered(servers), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(_command(case, Path(folder), part), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for part in range(len(case.servers))
        ]
        seen = [(0.0, 0)]
        while any(process.poll() is None for process in processes):
            time.sleep(_POLL_S)
            seen.append((time.monotonic() - started, answered(servers) - before))
        for process in processes:
            if process.returncode:
                raise SelectorError(f"a part ended with {process.returncode}: {process.stderr.read().decode()}")
    return Measured(middle_rate(seen), seen[-1][0])


def middle_rate(seen: Sequence[tuple[float, int]]) -> float:
    """Rows a second between a tenth and nine tenths of all rows. seen: (seconds, rows), ascending."""
    total = seen[-1][1]
    first = next(one for one in seen if one[1] >= 0.1 * total)
    last = next(one for one in seen if one[1] >= 0.9 * total)
    return (last[1] - first[1]) / (last[0] - first[0])


def _command(case: Case, folder: Path, part: int) -> list[str]:
    of = ("--part", f"{part + 1}/{len(case.servers)}") if len(case.servers) > 1 else ()
    asked = ("score", str(case.data), "--store", str(folder / "store"), "--draws", str(case.draws), *of, *_SETTINGS)
    return [sys.executable, "-m", "selector", *asked, "--server", case.servers[part]]


def compared(cases: Sequence[Case], rounds: int, note: Callable[[str], None]) -> dict[str, list[Measured]]:
    """What every case took in every round; before it a turn of the last that is not counted."""
    measure(cases[-1])
    found: dict[str, list[Measured]] = {case.name: [] for case in cases}
    for turn in range(rounds):
        for case in cases:
            found[case.name].append(measure(case))
            note(f"round {turn + 1}: {case.name}: {found[case.name][-1]}")
    return found


def table(found: dict[str, list[Measured]], against: Sequence[tuple[str, str]]) -> str:
    """Medians, and the median of the rounds' ratios with the least and the largest. against: pairs of cases."""
    lines = ["| Case | UNet rows a second | Seconds of the command |", "|---|---|---|"]
    for name, each in found.items():
        rate, seconds = (statistics.median(getattr(one, field) for one in each) for field in ("rate", "seconds"))
        lines.append(f"| {name} | {rate:.0f} | {seconds:.1f} |")
    lines += ["", "| Of one another | Ratio of the rates | Least and largest round |", "|---|---|---|"]
    for one, other in against:
        ratios = [a.rate / b.rate for a, b in zip(found[one], found[other], strict=True)]
        lines.append(f"| {one} : {other} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |")
    return "\n".join(lines)


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--images", default=1000, show_default=True, help="Images for the fleet.")
@click.option("--only", type=click.Choice(["parts", "fleet"]), help="One server alone, or the fleet alone.")
def main(rounds: int, images: int, only: str | None) -> None:
    """Measure parts against one process."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        data, names = Path(folder) / "data", tuple(map(class_name, range(CLASSES)))
        write_shards(data, Size(CLASSES, images, 0))
        stub = write_stub(Path(folder) / "stub", names, sleep_s=SLEEP_S, max_batch=BATCH)

        def served(repository: Path, threads: int) -> str:
            return stack.enter_context(EmbeddedServer(repository, threads=threads)).grpc_url

        cases, against = [], []
        if only != "fleet":
            real, scenes = served(builtin_repository(), os.cpu_count() or 1), builtin_scenes()
            cases += [
                Case("built-in pipeline, one process", scenes, 2, [real]),
                Case(f"built-in pipeline, {PARTS} parts", scenes, 2, [real] * PARTS),
            ]
            against.append((cases[1].name, cases[0].name))
        if only != "parts":
            fleet = [served(stub, 1) for _ in range(PARTS)]
            one, parts, spread = (
                Case("50 ms a batch, one process, one server", data, FLEET_DRAWS, [fleet[0]]),
                Case(f"50 ms a batch, {PARTS} parts, a server each", data, FLEET_DRAWS, fleet),
                Case(f"50 ms a batch, one process, {PARTS} servers", data, FLEET_DRAWS, [",".join(fleet)]),
            )
            cases += [one, parts, spread]
            against += [(parts.name, one.name), (spread.name, one.name)]
        found = compared(cases, rounds, lambda line: click.echo(line, err=True))
    click.echo(table(found, against))


if __name__ == "__main__":
    main()
