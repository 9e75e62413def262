"""Our connection against tritonclient's own ways, on one real server and one pass-through model: `make bench-client`.

Every way sends the same payloads, keeps as many requests in flight, and takes its turn in every round, so that what
else runs on the machine meets all alike. A round's ratio is ours by the best of the others *in that round*; the table
gives the median of the rounds' ratios and a 95 % interval of it (order statistics of the sign test). The model returns
one number of its input, so the request is the payload; a Python-based backend copies it once more inside the server.

CPU: of this process, seconds per GB of payload. Peak: how much the resident memory rose while a way ran.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import queue
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import psutil
from tritonclient import grpc as triton
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException, shared_memory

from client.contract import Model, Tensor
from client.embedded.server import EmbeddedServer
from client.wire import Connection, WireError
from export_scripts.triton_config import write_config

PAYLOADS = {"4KB": 1024, "196KB": 49152, "786KB": 196608}
"""float32 values of one row."""
BATCHES = (1, 8)
LEAST_S = 0.4
IN_FLIGHT = {1: 16, 8: 4}


@dataclass(frozen=True)
class Case:
    """What is sent: `rows` of so many float32 values in one request, to a server at `url`."""

    url: str
    model: Model
    payload: str
    rows: int
    seconds: float

    @property
    def in_flight(self) -> int:
        return IN_FLIGHT[self.rows]

    @property
    def values(self) -> int:
        return PAYLOADS[self.payload]

    def arrays(self) -> np.ndarray:
        return np.arange(self.rows * self.values, dtype=np.float32).reshape(self.rows, self.values)


@dataclass(frozen=True)
class Measured:
    """One way's turn: rows/s, CPU seconds per GB of payload, MB by which resident memory rose at its peak."""

    rate: float
    cpu_s_per_gb: float
    peak_mb: float


def ours(case: Case, transport: str = "auto") -> int:
    async def main() -> int:
        connection = Connection(case.url, transport=transport)
        rows = [{"INPUT": row} for row in case.arrays()]
        done = 0
        end = time.perf_counter() + case.seconds

        async def one() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await connection.infer(case.model, rows, 30.0)
                done += 1

        try:
            await asyncio.gather(*(one() for _ in range(case.in_flight)))
        finally:
            await connection.close()
        return done

    return asyncio.run(main())


def _inputs(case: Case, array: np.ndarray, module: object = triton) -> list[object]:
    tensor = triton.InferInput("INPUT", array.shape, "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


def sync(case: Case) -> int:
    """One request at a time, as its API has it."""
    array, done = case.arrays(), 0
    with triton.InferenceServerClient(case.url) as client:
        end = time.perf_counter() + case.seconds
        while time.perf_counter() < end:
            client.infer(case.model.name, _inputs(case, array)).as_numpy("OUTPUT")
            done += 1
    return done


def _with_callbacks(case: Case, send: Callable[[Callable[[object, object], None]], None]) -> int:
    """Keeps in_flight requests going from callbacks' threads."""
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()

    def answered(result: object, error: object) -> None:
        answers.put(error or result.as_numpy("OUTPUT"))  # type: ignore[attr-defined]

    for _ in range(case.in_flight):
        send(answered)
    done, flying, end = 0, case.in_flight, time.perf_counter() + case.seconds
    while flying:
        answer = answers.get(timeout=60)
        if isinstance(answer, Exception):
            raise answer
        done, flying = done + 1, flying - 1
        if time.perf_counter() < end:
            send(answered)
            flying += 1
    return done


def async_infer(case: Case) -> int:
    array = case.arrays()
    with triton.InferenceServerClient(case.url) as client:
        return _with_callbacks(
            case, lambda answered: client.async_infer(case.model.name, _inputs(case, array), callback=answered)
        )


def async_stream_infer(case: Case) -> int:
    array = case.arrays()
    to: list[Callable[[object, object], None]] = []
    with triton.InferenceServerClient(case.url) as client:
        client.start_stream(callback=lambda result, error: to[0](result, error))

        def send(answered: Callable[[object, object], None]) -> None:
            to[:] = [answered]
            client.async_stream_infer(case.model.name, _inputs(case, array))

        return _with_callbacks(case, send)


def aio(case: Case) -> int:
    async def main() -> int:
        array, done = case.arrays(), 0
        async with triton_aio.InferenceServerClient(case.url) as client:
            end = time.perf_counter() + case.seconds

            async def one() -> None:
                nonlocal done
                while time.perf_counter() < end:
                    (await client.infer(case.model.name, _inputs(case, array))).as_numpy("OUTPUT")
                    done += 1

            await asyncio.gather(*(one() for _ in range(case.in_flight)))
        return done

    return asyncio.run(main())


def shm_async_infer(case: Case) -> int:
    """tritonclient with system shared memory: one region, a slot for each request in flight, written anew each time."""
    array = case.arrays()
    name = f"bench-{os.getpid()}"
    with triton.InferenceServerClient(case.url) as client:
        region = shared_memory.create_shared_memory_region(name, f"/{name}", array.nbytes * case.in_flight)
        try:
            client.register_system_shared_memory(name, f"/{name}", array.nbytes * case.in_flight)
            turn = iter(range(10**9))

            def send(answered: Callable[[object, object], None]) -> None:
                offset = (next(turn) % case.in_flight) * array.nbytes
                shared_memory.set_shared_memory_region(region, [array], offset)
                tensor = triton.InferInput("INPUT", array.shape, "FP32")
                tensor.set_shared_memory(name, array.nbytes, offset)
                client.async_infer(case.model.name, [tensor], callback=answered)

            return _with_callbacks(case, send)
        finally:
            client.unregister_system_shared_memory(name)
            shared_memory.destroy_shared_memory_region(region)


WAYS: dict[str, Callable[[Case], int]] = {
    "ours": ours,
    "ours, unary": lambda case: ours(case, "unary"),
    "ours, stream": lambda case: ours(case, "stream"),
    "sync": sync,
    "async_infer": async_infer,
    "async_stream_infer": async_stream_infer,
    "aio": aio,
    "shm async_infer": shm_async_infer,
}
OVER_TCP = ("sync", "async_infer", "async_stream_infer", "aio")


def measure(way: Callable[[Case], int], case: Case) -> Measured:
    process = psutil.Process()
    before, peak, over = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, cpu = time.perf_counter(), time.process_time()
    try:
        requests = way(case)
    finally:
        wall, spent = time.perf_counter() - started, time.process_time() - cpu
        over.set()
        watcher.join()
    gigabytes = requests * case.rows * case.values * 4 / 1e9
    return Measured(requests * case.rows / wall, spent / gigabytes, peak[0] / 1e6)


def measure_again(way: Callable[[Case], int], case: Case, attempts: int = 3) -> Measured:
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


def write_repository(root: Path) -> dict[str, Model]:
    models = {}
    for payload, values in PAYLOADS.items():
        model, graph = pass_through(values)
        folder = root / model.name
        (folder / "1").mkdir(parents=True)
        write_config(model, folder, max_batch=8, queue_delay_us=0)
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


def run(rounds: int, seconds: float) -> list[dict[str, object]]:
    table: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        models = write_repository(Path(folder))
        with EmbeddedServer(Path(folder), threads=1) as server:
            for payload in PAYLOADS:
                for rows in BATCHES:
                    case = Case(server.grpc_url, models[payload], payload, rows, seconds)
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
    rounds = len(found["ours"])
    ratios = [found["ours"][r].rate / max(found[way][r].rate for way in OVER_TCP) for r in range(rounds)]
    shared = [found["ours"][r].rate / found["shm async_infer"][r].rate for r in range(rounds)]
    return {
        "payload": payload,
        "rows": rows,
        "rounds": rounds,
        "ours_by_best": statistics.median(ratios),
        "interval": interval(ratios),
        "ours_by_shm": statistics.median(shared),
        "ways": {
            way: {key: statistics.median(getattr(m, key) for m in runs) for key in asdict(runs[0])}
            for way, runs in found.items()
        },
    }


def line(entry: dict[str, object]) -> str:
    ways: dict[str, dict[str, float]] = entry["ways"]  # type: ignore[assignment]
    least, greatest = entry["interval"]  # type: ignore[misc]
    head = (
        f"{entry['payload']} x {entry['rows']}: ours / best over TCP {entry['ours_by_best']:.2f} "
        f"({least:.2f} to {greatest:.2f}); ours over TCP / tritonclient with shared memory {entry['ours_by_shm']:.2f}"
    )
    each = [
        f"  {way:20} {m['rate']:9.0f} rows/s {m['cpu_s_per_gb']:8.2f} CPU s/GB {m['peak_mb']:7.1f} MB peak"
        for way, m in ways.items()
    ]
    return "\n".join([head, *each])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=LEAST_S, help="of every turn")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    table = run(arguments.rounds, arguments.seconds)
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
