"""The ways of sending a payload that transports.py compares: our connection's, and tritonclient's own.

Each is a function of a `Case`: it connects, sends one request before the clock starts, and then keeps requests in
flight inside `case.metered()`. Must not know rounds, ratios or tables.
"""

from __future__ import annotations

import asyncio
import collections
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil
from tritonclient import grpc as triton
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException, shared_memory

from client.contract import Model
from client.wire import Connection

PAYLOADS = {"4KB": 1024, "16KB": 4096, "32KB": 8192, "64KB": 16384, "128KB": 32768, "196KB": 49152, "786KB": 196608}
"""float32 values of one row."""
IN_FLIGHT = {1: 16, 8: 4}


@dataclass(frozen=True)
class Measured:
    """One way's turn: rows/s, CPU seconds of this process and of the server's per GB of payload, MB by which resident
    memory rose at its peak."""

    rate: float
    cpu_s_per_gb: float
    server_cpu_s_per_gb: float
    peak_mb: float


@dataclass
class Case:
    """What is sent: `rows` of so many float32 values in one request, to the server at `url` of this pid.

    A way sends for `seconds` inside `with case.metered()`, and counts its answers in `done`: connecting, registering
    and warming up the connection are outside, for every way alike.
    """

    url: str
    pid: int
    model: Model
    payload: str
    rows: int
    seconds: float
    done: int = 0
    measured: Measured | None = None

    @property
    def in_flight(self) -> int:
        return IN_FLIGHT[self.rows]

    @property
    def values(self) -> int:
        return PAYLOADS[self.payload]

    def arrays(self) -> np.ndarray:
        return np.arange(self.rows * self.values, dtype=np.float32).reshape(self.rows, self.values)

    @contextmanager
    def metered(self) -> Iterator[float]:
        """Gives the moment at which the last request may be sent; measures until all are answered."""
        process, server = psutil.Process(), psutil.Process(self.pid)
        family = [server, *server.children(recursive=True)]
        before, peak, over = process.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not over.wait(0.01):
                peak[0] = max(peak[0], process.memory_info().rss - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.done = 0
        started, cpu, served = time.perf_counter(), time.process_time(), cpu_s(family)
        try:
            yield started + self.seconds
        finally:
            wall, spent, there = time.perf_counter() - started, time.process_time() - cpu, cpu_s(family) - served
            over.set()
            watcher.join()
        gigabytes = self.done * self.rows * self.values * 4 / 1e9
        self.measured = Measured(self.done * self.rows / wall, spent / gigabytes, there / gigabytes, peak[0] / 1e6)


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def keep_in_flight(case: Case, send: Callable[[], Awaitable[object]]) -> None:
    """Sends as many at once as are to be in flight, each again when it is answered; one before the clock starts."""
    await send()

    async def one(end: float) -> None:
        while time.perf_counter() < end:
            await send()
            case.done += 1

    with case.metered() as end:
        await asyncio.gather(*(one(end) for _ in range(case.in_flight)))


def ours(case: Case, transport: str) -> None:
    async def main() -> None:
        connection = Connection(case.url, transport=transport)
        await connection.open_transport(30.0)
        rows = [{"INPUT": row} for row in case.arrays()]
        try:
            await keep_in_flight(case, lambda: connection.infer(case.model, rows, 30.0))
        finally:
            await connection.close()

    asyncio.run(main())


def _inputs(case: Case, array: np.ndarray, module: object = triton) -> list[object]:
    tensor = triton.InferInput("INPUT", array.shape, "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


def _in_turn(case: Case, send: Callable[[], object]) -> None:
    send()
    with case.metered() as end:
        while time.perf_counter() < end:
            send()
            case.done += 1


def sync(case: Case) -> None:
    """One request at a time, as its API has it."""
    array = case.arrays()
    with triton.InferenceServerClient(case.url) as client:
        _in_turn(case, lambda: client.infer(case.model.name, _inputs(case, array)).as_numpy("OUTPUT"))


def _with_callbacks(case: Case, send: Callable[[Callable[[object, object], None]], None]) -> None:
    """Keeps in_flight requests going from callbacks' threads."""
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()

    def answered(result: object, error: object) -> None:
        answers.put(error or result.as_numpy("OUTPUT"))  # type: ignore[attr-defined]

    def next_answer() -> None:
        answer = answers.get(timeout=60)
        if isinstance(answer, Exception):
            raise answer

    send(answered)
    next_answer()
    with case.metered() as end:
        for _ in range(case.in_flight):
            send(answered)
        flying = case.in_flight
        while flying:
            next_answer()
            case.done, flying = case.done + 1, flying - 1
            if time.perf_counter() < end:
                send(answered)
                flying += 1


def async_infer(case: Case) -> None:
    array = case.arrays()
    with triton.InferenceServerClient(case.url) as client:
        _with_callbacks(
            case, lambda answered: client.async_infer(case.model.name, _inputs(case, array), callback=answered)
        )


def async_stream_infer(case: Case) -> None:
    array = case.arrays()
    to: list[Callable[[object, object], None]] = []
    with triton.InferenceServerClient(case.url) as client:
        client.start_stream(callback=lambda result, error: to[0](result, error))

        def send(answered: Callable[[object, object], None]) -> None:
            to[:] = [answered]
            client.async_stream_infer(case.model.name, _inputs(case, array))

        _with_callbacks(case, send)


def aio(case: Case) -> None:
    async def main() -> None:
        array = case.arrays()
        async with triton_aio.InferenceServerClient(case.url) as client:

            async def send() -> None:
                (await client.infer(case.model.name, _inputs(case, array))).as_numpy("OUTPUT")

            await keep_in_flight(case, send)

    asyncio.run(main())


class Region:
    """A region of tritonclient's with a slot for each request in flight; `fill` writes a payload into a free slot."""

    def __init__(self, case: Case, array: np.ndarray) -> None:
        self.name = f"bench-{os.getpid()}"
        self.nbytes = array.nbytes * case.in_flight
        self._array = array
        self._handle = shared_memory.create_shared_memory_region(self.name, f"/{self.name}", self.nbytes)
        self._free = collections.deque(range(0, self.nbytes, array.nbytes))

    def fill(self) -> tuple[list[object], int]:
        offset = self._free.popleft()
        shared_memory.set_shared_memory_region(self._handle, [self._array], offset)
        tensor = triton.InferInput("INPUT", self._array.shape, "FP32")
        tensor.set_shared_memory(self.name, self._array.nbytes, offset)
        return [tensor], offset

    def free(self, offset: int) -> None:
        self._free.append(offset)

    def destroy(self) -> None:
        shared_memory.destroy_shared_memory_region(self._handle)


def until_let_go(unregister: Callable[[], object]) -> None:
    """Server 2.51 counts a request as a reader for a moment after its answer."""
    deadline = time.monotonic() + 10
    while True:
        try:
            unregister()
        except InferenceServerException as error:
            if "currently in use" not in str(error) or time.monotonic() > deadline:
                raise
        else:
            return


@contextmanager
def registered(case: Case) -> Iterator[tuple[triton.InferenceServerClient, Region]]:
    """A region that the server knows inside the `with`."""
    with triton.InferenceServerClient(case.url) as client:
        region = Region(case, case.arrays())
        try:
            client.register_system_shared_memory(region.name, f"/{region.name}", region.nbytes)
            yield client, region
        finally:
            until_let_go(lambda: client.unregister_system_shared_memory(region.name))
            region.destroy()


def shm_sync(case: Case) -> None:
    """One request at a time."""
    with registered(case) as (client, region):

        def send() -> None:
            inputs, offset = region.fill()
            client.infer(case.model.name, inputs).as_numpy("OUTPUT")
            region.free(offset)

        _in_turn(case, send)


def shm_async_infer(case: Case) -> None:
    with registered(case) as (client, region):

        def send(answered: Callable[[object, object], None]) -> None:
            inputs, offset = region.fill()

            def freed(result: object, error: object) -> None:
                region.free(offset)
                answered(result, error)

            client.async_infer(case.model.name, inputs, callback=freed)

        _with_callbacks(case, send)


def shm_aio(case: Case) -> None:
    with registered(case) as (_, region):

        async def main() -> None:
            async with triton_aio.InferenceServerClient(case.url) as client:

                async def send() -> None:
                    inputs, offset = region.fill()
                    (await client.infer(case.model.name, inputs)).as_numpy("OUTPUT")
                    region.free(offset)

                await keep_in_flight(case, send)

        asyncio.run(main())


WAYS: dict[str, Callable[[Case], None]] = {
    "ours, unary": lambda case: ours(case, "unary"),
    "ours, stream": lambda case: ours(case, "stream"),
    "ours, shared memory": lambda case: ours(case, "shared-memory"),
    "sync": sync,
    "async_infer": async_infer,
    "async_stream_infer": async_stream_infer,
    "aio": aio,
    "shm sync": shm_sync,
    "shm async_infer": shm_async_infer,
    "shm aio": shm_aio,
}
OVER_TCP = ("sync", "async_infer", "async_stream_infer", "aio")
BY_SHARED_MEMORY = ("shm sync", "shm async_infer", "shm aio")
