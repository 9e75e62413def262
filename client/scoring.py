"""`ScoringClient`: rows in, answers out, from one or several Triton servers.

Owns the configuration, the connections and the life of a client. Must not know the wire (wire.py), what to retry
(retries.py), files of results, or what scores are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from client.contract import Geometry, Identity
from client.delivery import Delivery, Patience, Statistics
from client.errors import ContractError
from client.handshake import Served, shake_hands
from client.retries import Backoff
from client.rows import Result
from client.stream import Rows, Stream
from client.validation import check_row
from client.window import Window
from client.wire import Connection


@dataclass(frozen=True)
class ClientConfig:
    """What a client needs to be told.

    servers: "host:port" of each; batches go to them in turn. rows_in_flight: rows sent and unanswered at most; None is
    2 × max_batch_size × UNet instances × servers, which keeps a full batch waiting behind each one that runs.
    linger_s: how long a partial batch waits for more rows. ready_s: how long to wait for a server at the start.
    deadline_s: how long one batch is insisted on, attempt_s on each attempt of it; both in seconds.
    """

    servers: tuple[str, ...]
    rows_in_flight: int | None = None
    linger_s: float = 0.005
    ready_s: float = 30.0
    deadline_s: float = 120.0
    attempt_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        if not self.servers:
            raise ValueError("servers: at least one address is needed, such as localhost:8001")
        if self.rows_in_flight is not None and self.rows_in_flight < 1:
            raise ValueError(f"rows_in_flight must be at least 1, not {self.rows_in_flight}")


class ScoringClient:
    """An async context manager; inside it, any number of `score` calls may run at once.

    On enter it waits for the servers and compares their models with the contract: ServerError if one is not ready in
    time, ContractError if one serves something else, or the servers differ.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._stack = AsyncExitStack()
        self._streams: set[AsyncGenerator[Result, None]] = set()
        self._served: Served | None = None
        self._delivery: Delivery | None = None
        self._window: Window | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            connections = [Connection(address) for address in self._config.servers]
            for connection in connections:
                stack.push_async_callback(connection.close)
            served = await asyncio.gather(*(shake_hands(c, self._config.ready_s) for c in connections))
            _check_equal(self._config.servers, served)
            self._served = served[0]
            self._window = Window(self._config.rows_in_flight or 2 * sum(s.max_batch * s.instances for s in served))
            patience = Patience(self._config.deadline_s, self._config.attempt_s, self._config.backoff)
            self._delivery = Delivery(connections, served[0].models, self._window, patience)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for stream in list(self._streams):
            await stream.aclose()
        await self._stack.aclose()

    @property
    def identity(self) -> Identity:
        """What the servers' scores depend on."""
        return self._entered().identity

    @property
    def geometry(self) -> Geometry:
        """The sizes of the servers' tensors."""
        return self._entered().geometry

    @property
    def server_version(self) -> str:
        """The version of the first server, such as "2.51.0"."""
        return self._entered().version

    @property
    def max_batch(self) -> int:
        """Rows that every model takes in one request."""
        return self._entered().max_batch

    def statistics(self) -> Statistics:
        """Counts since the client was entered."""
        self._entered()
        assert self._delivery is not None
        return self._delivery.statistics()

    async def score(self, rows: Rows) -> AsyncGenerator[Result, None]:
        """Yields one result per row, in completion order, any mix of models.

        rows: a plain or an async iterable; it is pulled only as results are taken, so its length does not matter. A
        plain one runs in the event loop: it must not block. Raises RowError for a row that can't be sent, and what
        `Delivery.deliver` raises. Ending the iteration, or cancelling its task, cancels what is in flight; use
        `contextlib.aclosing` where an iteration may end early, so that this happens at once.
        """
        served = self._entered()
        assert self._delivery is not None
        assert self._window is not None
        stream = Stream(
            rows,
            check=lambda row: check_row(row, served.models),
            deliver=self._delivery.deliver,
            batch_rows=min(served.max_batch, self._window.size),
            linger_s=self._config.linger_s,
            pulled=2 * self._window.size,
        ).results()
        self._streams.add(stream)
        try:
            async with aclosing(stream):
                async for result in stream:
                    yield result
        finally:
            self._streams.discard(stream)

    def _entered(self) -> Served:
        if self._served is None:
            raise RuntimeError("this client is not entered: use `async with ScoringClient(config) as client`")
        return self._served


def _check_equal(addresses: tuple[str, ...], served: list[Served]) -> None:
    for address, other in zip(addresses[1:], served[1:], strict=True):
        for name, value in other.identity.as_dict().items():
            first = served[0].identity.as_dict()[name]
            if value != first:
                raise ContractError(f"the servers differ in {name}: {addresses[0]} has {first}, {address} has {value}")
