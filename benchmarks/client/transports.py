"""Our connection against tritonclient's own ways, on one real server and one pass-through model: `make bench-client`.

Every way sends the same payloads, keeps as many requests in flight, and takes its turn in every round, so that what
else runs on the machine meets all alike. The best of the others is the one way of theirs with the highest median rate; a
round's ratio is ours by that way's in the same round (the highest of several noisy rates of one round would flatter
them), and the table gives the median of the rounds' ratios and a 95 % interval of it (order statistics of the sign test).
The model returns one number of its input, so the request is the payload; a Python-based backend copies it once more
inside the server.

Like with like: over TCP, ours is the transport that `auto` takes for another machine; by shared memory, both sides
register once and copy every request's payload into a slot of its own, which no other request in flight uses.

CPU: of this process and of the server's, seconds per GB of payload. Peak: how much the resident memory rose while a way
ran.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import onnx
import onnx.parser
from tritonclient.utils import InferenceServerException

from benchmarks.client.ways import BY_SHARED_MEMORY, OVER_TCP, PAYLOADS, WAYS, Case, Measured
from client.contract import Model, Tensor
from client.embedded.server import EmbeddedServer
from client.wire import STREAM_BYTES, WireError
from export_scripts.repository.triton_config import model_config, write_config

BATCHES = (1, 8)
USUAL = "4KB,196KB,786KB"
TURN_S = 0.5


def measure(way: Callable[[Case], None], case: Case) -> Measured:
    way(case)
    gc.collect()  # what a closed event loop of gRPC leaves
    assert case.measured is not None
    return case.measured


def measure_again(way: Callable[[Case], None], case: Case, attempts: int = 3) -> Measured:
    """As `measure`; a turn in which a busy machine made the server fail is taken again."""
    for _ in range(attempts - 1):
        try:
            return measure(way, case)
        except (InferenceServerException, WireError) as error:
            print(f"  taken again: {error}", flush=True)
    return measure(way, case)


def pass_through(values: int) -> tuple[Model, str]:
    """The model and its graph: the first value of every row."""
    model = Model(f"pass_{values}", (Tensor("INPUT", "FP32", (values,)),), (Tensor("OUTPUT", "FP32", (1,)),))
    graph = f"""<ir_version: 8, opset_import: ["" : 18]>
        agraph (float[n,{values}] INPUT) => (float[n,1] OUTPUT) {{
            from = Constant<value_ints = [0]>()
            to = Constant<value_ints = [1]>()
            axis = Constant<value_ints = [1]>()
            OUTPUT = Slice(INPUT, from, to, axis)
        }}"""
    return model, graph


def write_repository(root: Path, payloads: list[str]) -> dict[str, Model]:
    models = {}
    for payload in payloads:
        model, graph = pass_through(PAYLOADS[payload])
        folder = root / model.name
        (folder / "1").mkdir(parents=True)
        write_config(model_config(model, max_batch=8, queue_delay_us=0), folder)
        onnx.save(onnx.parser.parse_model(graph), folder / "1" / "model.onnx")
        models[payload] = model
    return models


def interval(ratios: list[float]) -> tuple[float, float]:
    """An interval that holds the median with at least 95 %: for 7 or 8 runs the extremes, for more the inner ones."""
    ordered, runs = sorted(ratios), len(ratios)
    inset = 0
    below = 0.5**runs
    term = below
    while inset < runs // 2:
        term = term * (runs - inset) / (inset + 1)
        if 2 * (below + term) > 0.05:
            break
        below += term
        inset += 1
    return ordered[inset], ordered[runs - 1 - inset]


def run(rounds: int, seconds: float, payloads: list[str]) -> list[dict[str, object]]:
    table: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        models = write_repository(Path(folder), payloads)
        with EmbeddedServer(Path(folder), threads=1, grpc_port=0) as server:
            for payload in payloads:
                for rows in BATCHES:
                    case = Case(server.grpc_url, server.pid, models[payload], payload, rows, seconds)
                    for way in WAYS.values():
                        measure_again(way, case)  # warm
                    found: dict[str, list[Measured]] = {name: [] for name in WAYS}
                    for turn in range(rounds):
                        names = list(WAYS)
                        for name in names[turn % len(names) :] + names[: turn % len(names)]:
                            found[name].append(measure_again(WAYS[name], case))
                    table.append(summary(payload, rows, found))
                    print(line(table[-1]), flush=True)
    return table


def summary(payload: str, rows: int, found: dict[str, list[Measured]]) -> dict[str, object]:
    rounds = len(found["sync"])
    auto = "ours, stream" if rows * PAYLOADS[payload] * 4 >= STREAM_BYTES else "ours, unary"

    def best(ways: tuple[str, ...]) -> str:
        return max(ways, key=lambda way: statistics.median(m.rate for m in found[way]))

    def ratios(own: str, other: str) -> list[float]:
        return [found[own][r].rate / found[other][r].rate for r in range(rounds)]

    best_tcp, best_shm = best(OVER_TCP), best(BY_SHARED_MEMORY)
    over_tcp, shared = ratios(auto, best_tcp), ratios("ours, shared memory", best_shm)
    gain = ratios("ours, shared memory", auto)
    return {
        "payload": payload,
        "rows": rows,
        "rounds": rounds,
        "over_tcp": auto,
        "best_over_tcp": best_tcp,
        "best_by_shm": best_shm,
        "ours_by_best": statistics.median(over_tcp),
        "interval": interval(over_tcp),
        "ours_by_best_shm": statistics.median(shared),
        "shm_interval": interval(shared),
        "shm_by_tcp": statistics.median(gain),
        "shm_by_tcp_interval": interval(gain),
        "ways": {
            way: {key: statistics.median(getattr(m, key) for m in runs) for key in asdict(runs[0])}
            for way, runs in found.items()
        },
    }


def line(entry: dict[str, object]) -> str:
    ways: dict[str, dict[str, float]] = entry["ways"]  # type: ignore[assignment]

    def ratio(name: str, its_interval: str) -> str:
        least, greatest = entry[its_interval]  # type: ignore[misc]
        return f"{entry[name]:.2f} ({least:.2f} to {greatest:.2f})"

    head = (
        f"{entry['payload']} x {entry['rows']}: {entry['over_tcp']} / {entry['best_over_tcp']} "
        f"{ratio('ours_by_best', 'interval')}; ours, shared memory / {entry['best_by_shm']} "
        f"{ratio('ours_by_best_shm', 'shm_interval')}; ours, shared memory / TCP "
        f"{ratio('shm_by_tcp', 'shm_by_tcp_interval')}"
    )
    each = [
        f"  {way:20} {m['rate']:9.0f} rows/s {m['cpu_s_per_gb']:8.2f} CPU s/GB here {m['server_cpu_s_per_gb']:8.2f} "
        f"in the server {m['peak_mb']:7.1f} MB peak"
        for way, m in ways.items()
    ]
    return "\n".join([head, *each])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=TURN_S, help="of every turn")
    parser.add_argument("--payloads", default=USUAL, help=f"of {', '.join(PAYLOADS)}")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    table = run(arguments.rounds, arguments.seconds, arguments.payloads.split(","))
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
