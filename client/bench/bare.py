"""The engine without a server: the same graphs, run by ONNX Runtime in this process.

What is compared is rows per second of whole requests; both sides get the same requests and the same cores, and never
run at the same time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from client.bench.load import Target, closed_loop
from client.bench.measure import CountersOfNow
from client.bench.probe import Counters, cpu_s
from client.contract import Step
from client.embedded.devices import CPU, ON_CORES, Device
from client.errors import ServerError
from client.repository import read_config
from client.rows import Row

Arrays = Mapping[str, NDArray[Any]]
NEARLY = 0.8
"""Ways of the bare engine whose trial reached this share of the fastest one's take part in every round."""


@dataclass(frozen=True)
class Engine:
    """How the bare engine uses the cores. sessions: that run at once, each on requests of its own.

    threads: of each session. spinning: whether they spin while they wait for work. device: where they run; of several GPUs the
    first.
    """

    sessions: int
    threads: int
    spinning: bool
    device: Device = ON_CORES

    def __str__(self) -> str:
        sessions = "1 session" if self.sessions == 1 else f"{self.sessions} sessions at once"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{sessions} of {threads}{', spinning' if self.spinning else ''}"


def engines(threads: int, device: Device = ON_CORES) -> tuple[Engine, ...]:
    """The ways of using so many threads that are tried; a GPU has one."""
    if device.kind != CPU:
        return (Engine(1, threads, spinning=False, device=device),)
    together = (Engine(1, threads, spinning=False), Engine(1, threads, spinning=True))
    return together if threads == 1 else (*together, Engine(threads, 1, spinning=False))


@dataclass(frozen=True)
class Round:
    """Rows per second of one pair of runs, and the CPU milliseconds per row that each process spent in them."""

    served: float
    bare: float
    served_cpu_ms: Mapping[str, float]
    bare_cpu_ms: float

    @property
    def ratio(self) -> float:
        """Served ÷ bare."""
        return self.served / self.bare


@dataclass(frozen=True)
class Comparison:
    """All rounds, at one concurrency and with requests of so many rows.

    engine: the way of the bare engine that the rounds are given for. tried: rows per second of each way, those that had
    a part in every round by the median of the rounds, the others by their trial.
    """

    concurrency: int
    request_rows: int
    engine: Engine
    rounds: tuple[Round, ...]
    tried: tuple[tuple[Engine, float], ...] = ()

    @property
    def median(self) -> float:
        """The median of served ÷ bare."""
        return statistics.median(r.ratio for r in self.rounds)


class BareModel:
    """A model of a repository, an ensemble being its steps one after another. Raises ContractError if it is not there."""

    def __init__(self, repository: Path, name: str, engine: Engine) -> None:
        config = read_config(repository, name)
        self._outputs = [item.name for item in config.output]
        self._steps: list[tuple[Step, BareModel]] = []
        self._session: onnxruntime.InferenceSession | None = None
        for step in config.ensemble_scheduling.step:
            maps = tuple(step.input_map.items()), tuple(step.output_map.items())
            self._steps.append((Step(step.model_name, *maps), BareModel(repository, step.model_name, engine)))
        if not self._steps:
            self._session = _session(repository / name / "1" / "model.onnx", engine)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name; dim 0 of every array is the row."""
        if self._session is not None:
            return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))
        known = dict(inputs)
        waiting = list(self._steps)
        while waiting:  # Triton's order: a step runs once its inputs are there
            ready = next(i for i, (step, _) in enumerate(waiting) if all(o in known for _, o in step.input_map))
            step, model = waiting.pop(ready)
            outputs = model.run({inside: known[outside] for inside, outside in step.input_map})
            known |= {outside: outputs[inside] for inside, outside in step.output_map}
        return {name: known[name] for name in self._outputs}


class BareRequests:
    """Requests of one model as whole arrays, run in turn."""

    def __init__(self, repository: Path, name: str, engine: Engine, requests: Sequence[tuple[Row, ...]]) -> None:
        self._model = BareModel(repository, name, engine)
        self._requests = [
            {tensor: np.stack([row.inputs[tensor] for row in rows]) for tensor in rows[0].inputs} for rows in requests
        ]
        self.rows = len(requests[0])

    def run(self, number: int) -> None:
        """Runs the request of this number."""
        self._model.run(self._requests[number % len(self._requests)])


class BarePath:
    """The scoring path as in `targets.ScoringPath`, batches as full as the server's largest."""

    def __init__(self, repository: Path, engine: Engine, parts: Mapping[str, Sequence[tuple[Row, ...]]]) -> None:
        self._parts = [BareRequests(repository, name, engine, requests) for name, requests in parts.items()]
        self._counts = [len(requests) for requests in parts.values()]
        self.rows = sum(len(rows) for requests in parts.values() for rows in requests)

    def run(self, _: int) -> None:
        """Runs every batch of one shard; all shards cost the same."""
        for part, count in zip(self._parts, self._counts, strict=True):
            for batch in range(count):
                part.run(batch)


Bare = BareRequests | BarePath


@dataclass(frozen=True)
class Way:
    """One way of using the cores, opened. rate: rows per second of its trial."""

    engine: Engine
    sessions: tuple[Bare, ...]
    rate: float


def try_ways(
    opened: Callable[[Engine], Bare], threads: int, seconds: float, device: Device = ON_CORES
) -> tuple[Way, ...]:
    """Every way of using so many threads, timed three times in alternation; rates are medians.

    Which one is best depends on the graph, the machine and what else runs there.
    """
    candidates = [
        (engine, tuple(opened(engine) for _ in range(engine.sessions))) for engine in engines(threads, device)
    ]
    for _, sessions in candidates:
        for bare in sessions:
            bare.run(0)
    rates = [[_time_bare(sessions, seconds)[0] for _, sessions in candidates] for _ in range(3)]
    medians = [statistics.median(column) for column in zip(*rates, strict=True)]
    return tuple(Way(*candidate, rate) for candidate, rate in zip(candidates, medians, strict=True))


async def compare(
    served: Target,
    ways: Sequence[Way],
    counters: CountersOfNow,
    *,
    concurrency: int,
    rounds: int,
    round_s: float,
) -> Comparison:
    """Alternating rounds of the served side and of each way within `NEARLY` of the fastest trial.

    A trial is short, and a way can do half as much a minute later (spinning threads were seen to); so what the server is
    compared with is the way with the highest median over the rounds. The order changes from round to round, so that a
    drift favours nobody.
    """
    fastest = max(way.rate for way in ways)
    contenders = [way for way in ways if way.rate >= NEARLY * fastest]
    served_found: list[tuple[float, dict[str, float]]] = []
    bare_found: list[list[tuple[float, float]]] = [[] for _ in contenders]
    for number in range(rounds):
        turn = number % (len(contenders) + 1)
        order = [*range(-1, len(contenders))]
        for position in order[turn:] + order[:turn]:
            if position < 0:
                served_found.append(await _time_served(served, counters, concurrency, round_s))
            else:
                bare_found[position].append(_time_bare(contenders[position].sessions, round_s))
    medians = [statistics.median(rate for rate, _ in found) for found in bare_found]
    best = medians.index(max(medians))
    again = {way.engine: median for way, median in zip(contenders, medians, strict=True)}
    return Comparison(
        concurrency,
        served.rows,
        contenders[best].engine,
        tuple(
            Round(rate, bare_rate, cpu, bare_cpu)
            for (rate, cpu), (bare_rate, bare_cpu) in zip(served_found, bare_found[best], strict=True)
        ),
        tuple((way.engine, again.get(way.engine, way.rate)) for way in ways),
    )


async def _time_served(
    target: Target, counters: CountersOfNow, concurrency: int, seconds: float
) -> tuple[float, dict[str, float]]:
    """Rows per second between two ends of requests, the first after every worker has had an answer."""
    async with closed_loop(target, concurrency) as load:
        while len(load.samples) < concurrency:
            await load.next_end()
        # From the first end of a burst to the first end of another: what Triton merged ends together.
        start = await load.next_end()
        before: Counters = await counters.read()
        await load.wait_until(start + seconds)
        end = await load.next_end()
        after = await counters.read()
        done = [s for s in load.samples if start < s.done_s <= end]
    failed = next((sample.error for sample in done if sample.error), "")
    if failed:
        raise ServerError(f"a request failed while served ÷ bare was measured: {failed}")
    rows = len(done) * target.rows
    return rows / (end - start), {name: 1e3 * spent / rows for name, spent in cpu_s(before, after).items()}


def _time_bare(sessions: Sequence[Bare], seconds: float) -> tuple[float, float]:
    """Rows per second and CPU milliseconds per row of runs back to back, in all sessions at once."""
    cpu = time.process_time()
    if len(sessions) == 1:
        timed = [_run_for(sessions[0], seconds)]
    else:
        with ThreadPoolExecutor(len(sessions)) as pool:  # a run holds no lock of Python's
            timed = list(pool.map(lambda bare: _run_for(bare, seconds), sessions))
    rows = sum(done for done, _ in timed)
    return sum(done / took for done, took in timed), 1e3 * (time.process_time() - cpu) / rows


def _run_for(bare: Bare, seconds: float) -> tuple[int, float]:
    """Rows done and seconds taken."""
    started = time.perf_counter()
    done = 0
    while time.perf_counter() - started < seconds:
        bare.run(done)
        done += 1
    return done * bare.rows, time.perf_counter() - started


def _session(path: Path, engine: Engine) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if engine.spinning else "0")
    on_gpu = {"device_id": str(next(iter(engine.device.gpus), 0))}
    providers = [(engine.device.provider, on_gpu)] if engine.device.provider else []
    return onnxruntime.InferenceSession(str(path), options, providers=[*providers, "CPUExecutionProvider"])
