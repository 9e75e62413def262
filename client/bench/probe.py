"""What the machine and the servers counted between two moments.

Servers count for all their clients: another one's load shows in the numbers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from client.errors import ServerError
from client.wire import Connection, ModelStatistics, WireError

CALL_TIMEOUT_S = 10.0
_TICKS: int = os.sysconf("SC_CLK_TCK")
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Counters:
    """Counts since some start; only differences mean anything.

    client_cpu_s: of this process, all threads. server_cpu_s: by process of a server whose pid is known. models: by name.
    """

    client_cpu_s: float
    server_cpu_s: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, ModelStatistics] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerSide:
    """One model between two moments. Times are means per request in microseconds, as Triton counts them.

    batch: rows per execution of the model, which for a leaf is what dynamic batching achieved.
    """

    model: str
    requests: int
    rows: int
    batch: float
    total_us: float
    queue_us: float
    compute_input_us: float
    compute_infer_us: float
    compute_output_us: float


class Probe:
    """Reads the counters. connections: one per server, open. pid: of the embedded server, if there is one."""

    def __init__(self, connections: Sequence[Connection], pid: int | None = None) -> None:
        self._connections = connections
        self._pid = pid

    async def read(self) -> Counters:
        """The counters of now, summed over the servers. Raises ServerError if one can't be asked."""
        try:
            found = await asyncio.gather(*map(_statistics, self._connections))
        except WireError as error:
            raise ServerError(f"the server's statistics can't be read: {error}") from error
        models: dict[str, ModelStatistics] = {}
        for statistics in (model for models_of_one in found for model in models_of_one):
            before = models.get(statistics.name)
            models[statistics.name] = statistics if before is None else _added(before, statistics, +1)
        return Counters(time.process_time(), process_tree_cpu_s(self._pid) if self._pid else {}, models)


async def _statistics(connection: Connection) -> list[ModelStatistics]:
    """None of a server that does not count: that is an extension of Triton's."""
    try:
        return await connection.statistics(CALL_TIMEOUT_S)
    except WireError as error:
        if error.status == "UNIMPLEMENTED":
            return []
        raise


def server_side(before: Counters, after: Counters) -> tuple[ServerSide, ...]:
    """The models that answered a request in between, by name."""
    found = []
    for name, late in sorted(after.models.items()):
        early = before.models.get(name)
        counted = late if early is None else _added(late, early, -1)
        if counted.requests > 0:
            found.append(_means(counted))
    return tuple(found)


def cpu_s(before: Counters, after: Counters) -> dict[str, float]:
    """CPU seconds in between by process, "client" first."""
    spent = {"client": after.client_cpu_s - before.client_cpu_s}
    for name, seconds in after.server_cpu_s.items():
        spent[name] = seconds - before.server_cpu_s.get(name, 0.0)
    return spent


def process_tree_cpu_s(pid: int) -> dict[str, float]:
    """User and system seconds of a server and its stubs, from /proc; a stub is named after its model."""
    spent: dict[str, float] = {}
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            stat = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            arguments = Path(f"/proc/{current}/cmdline").read_text().split("\0")
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between two reads
        # Fields 14 and 15 of proc(5)'s stat; the name, field 2, is cut off above.
        name = _process_name(arguments)
        spent[name] = spent.get(name, 0.0) + (int(stat[11]) + int(stat[12])) / _TICKS
    return spent


def _process_name(arguments: Sequence[str]) -> str:
    # A stub's first argument is its model's file: <repository>/<model>/<version>/<file>.
    if arguments[0].endswith(_STUB) and len(path := Path(arguments[1]).parts) > 3:
        return f"stub of {path[-3]}"
    return Path(arguments[0]).name


def _added(a: ModelStatistics, b: ModelStatistics, sign: int) -> ModelStatistics:
    counts = {f.name: getattr(a, f.name) + sign * getattr(b, f.name) for f in fields(a) if f.name != "name"}
    return ModelStatistics(name=a.name, **counts)


def _means(counted: ModelStatistics) -> ServerSide:
    def mean_us(total_ns: int) -> float:
        return total_ns / counted.requests / 1e3

    return ServerSide(
        model=counted.name,
        requests=counted.requests,
        rows=counted.rows,
        batch=counted.rows / counted.executions if counted.executions else 0.0,
        total_us=mean_us(counted.total_ns),
        queue_us=mean_us(counted.queue_ns),
        compute_input_us=mean_us(counted.compute_input_ns),
        compute_infer_us=mean_us(counted.compute_infer_ns),
        compute_output_us=mean_us(counted.compute_output_ns),
    )
