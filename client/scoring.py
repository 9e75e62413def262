"""`ScoringClient`: rows in, answers out, from one or several Triton servers."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from client.config import ClientConfig
from client.contract import Geometry, Identity
from client.delivery import (
    AdaptiveBound,
    Bound,
    Delivery,
    Fleet,
    Patience,
    Replica,
    Room,
    Rows,
    Stream,
    check_row,
    follow,
    row_weights,
    told_of_outages,
)
from client.errors import ContractError, ServerError
from client.golden import USED, Asked
from client.handshake import Served, meet, shake_hands
from client.metrics import serve_metrics
from client.rows import Result
from client.statistics import Statistics
from client.wire import Address, Connection, Trace, advisory, changing, resolve

__all__ = ["ClientConfig", "ScoringClient"]

GREATEST_GROWTH = 8
"""A replica's bound grows to this many times its first size at most."""
PROBE_S = 2.0
_log = logging.getLogger(__name__)


class ScoringClient:
    """An async context manager; inside it, any number of `score` calls may run at once.

    On enter it waits for the servers, compares their models with the contract and their answers with golden rows: ServerError
    if none is ready in time and has a transport asked for by name, ContractError if one serves something else or answers
    otherwise, or the servers differ. A server that is not there while others are joins them when a probe finds it.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._stack = AsyncExitStack()
        self._streams: set[Stream] = set()
        self._served: Served | None = None
        self._delivery: Delivery | None = None
        self._fleet: Fleet | None = None
        self._rows_held = 0
        """Rows that one call of `score` may hold."""
        self._advisories: dict[str, str] = {}
        """By address; "" where nothing is known against the server."""
        self._warn: Callable[[str], None] = lambda _: None
        self.metrics_url = ""
        self.gauges: dict[str, Callable[[], float]] = {}
        """What the endpoint tells besides: the whole name of a gauge, and what gives its value."""

    async def __aenter__(self) -> Self:
        config = self._config
        async with AsyncExitStack() as stack:
            trace = Trace(config.trace) if config.trace else None

            def connected(address: Address, until: AsyncExitStack) -> Connection:
                made = Connection(
                    address.text, config.security, target_name=address.name, trace=trace, transport=config.transport
                )
                until.push_async_callback(made.close)
                return made

            addresses = await resolve(config.servers)
            met = await meet(
                [connected(address, stack) for address in addresses],
                config.ready_s,
                partial(self._confirm, deadline_s=config.deadline_s),
                config.repository,
            )
            for connection, one in met.items():
                if isinstance(one, Served):
                    self._judge(connection.address, one.version)
            (first, there), *others = [(c, one) for c, one in met.items() if isinstance(one, Served)]
            for connection, other in others:
                _check_equal(first.address, there, connection.address, other)
            self._served = served = _together([there, *(other for _, other in others)])
            _warn_of_unchecked(first.address, served)
            bounds = {
                c: _bound(one if isinstance(one, Served) else there, config.rows_in_flight) for c, one in met.items()
            }
            self._rows_held = 2 * (config.rows_in_flight or sum(bound.most for bound in bounds.values()))
            away = {c: str(error) for c, error in met.items() if isinstance(error, ServerError)}
            replicas = [Replica(c, bound, c not in away, away.get(c, "")) for c, bound in bounds.items()]
            self._fleet = fleet = Fleet(replicas, self._probe, config.backoff, config.deadline_s)
            stack.push_async_callback(fleet.close)
            if changing(config.servers):

                def joining(address: Address) -> Replica:
                    return Replica(connected(address, self._stack), _bound(there, config.rows_in_flight))

                members = dict(zip(addresses, replicas, strict=True))
                fleet.spawn(follow(fleet, members, partial(resolve, config.servers), joining))
            self._delivery = Delivery(
                fleet,
                served.models,
                row_weights(served.models, served.chained),
                Bound(config.bytes_in_flight),
                Patience(config.deadline_s, config.attempt_s, config.backoff, config.budget),
                Bound(config.rows_in_flight) if config.rows_in_flight else None,
            )
            if config.metrics_address:
                self.metrics_url = await stack.enter_async_context(
                    serve_metrics(config.metrics_address, self.statistics, self.gauges)
                )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for stream in list(self._streams):
            await stream.close()
        await self._stack.aclose()
        # gRPC's cancelled calls lie in reference cycles that keep their sockets, and report to this event loop when they
        # are collected, which may be long after it is closed.
        gc.collect()

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
        counts = self._delivery.statistics()
        held = sum(stream.unanswered for stream in self._streams)
        return replace(counts, waiting=max(0, held - counts.in_flight))

    @property
    def advisories(self) -> tuple[str, ...]:
        """What is known against the servers that were met so far: one line for each that is too old to be exposed."""
        return tuple(filter(None, self._advisories.values()))

    def outages_told(self, say: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """While its body runs, `say` gets a line when no server answers, every minute of that, and when one is back; before that,
        and of servers that join, what is known against them."""
        self._entered()
        self._warn = say
        for line in self.advisories:
            say(line)
        fleet = self._fleet
        assert fleet is not None
        return told_of_outages(lambda: fleet.replicas, self._config.deadline_s, say)

    async def score(self, rows: Rows) -> AsyncGenerator[Result, None]:
        """Yields one result per row, in completion order, any mix of models.

        rows: a plain or an async iterable; it is pulled only as results are taken, so its length does not matter. A
        plain one runs in the event loop: it must not block. Raises RowError for a row that can't be sent, and what
        `Delivery.deliver` raises. Ending the iteration, or cancelling its task, cancels what is in flight; use
        `contextlib.aclosing` where an iteration may end early, so that this happens at once.
        """
        served = self._entered()
        assert self._delivery is not None
        weights = row_weights(served.models, served.chained)
        stream = Stream(
            rows,
            check=lambda row: check_row(row, served.models),
            deliver=self._delivery.deliver,
            batch_rows=self._batch_rows(served, weights).__getitem__,
            row_bytes=weights.__getitem__,
            linger_s=self._config.linger_s,
            room=Room(self._rows_held, self._config.bytes_in_flight),
        )
        self._streams.add(stream)
        try:
            async with aclosing(stream.results()) as results:
                async for result in results:
                    yield result
        finally:
            self._streams.discard(stream)

    def _batch_rows(self, served: Served, weights: Mapping[str, int]) -> dict[str, int]:
        """Rows of a full request by model: what it takes, and what the bounds on rows and bytes allow."""
        config = self._config
        most = config.rows_in_flight or max(served.batches.values())
        nbytes = min(config.request_bytes, config.bytes_in_flight)
        return {name: max(1, min(rows, most, nbytes // weights[name])) for name, rows in served.batches.items()}

    async def _probe(self, connection: Connection) -> None:
        """What stands at a replica's address must be what stood there at the start."""
        served = self._entered()
        other = await shake_hands(connection, PROBE_S, self._config.repository)
        await connection.open_transport(PROBE_S)
        _check_equal("the server of the start", served, connection.address, other)
        self._judge(connection.address, other.version)
        for name, rows in served.batches.items():
            if other.batches[name] < rows:
                raise ContractError(
                    f"the server at {connection.address} came back with a max_batch_size of {other.batches[name]} for "
                    f"{name}, expected at least {rows}: start the run again"
                )
        try:
            await self._confirm(connection, replace(other, golden={**other.golden, **served.golden}), PROBE_S)
        except ContractError:
            assert self._fleet is not None
            self._fleet.golden_failures += 1
            raise

    async def _confirm(self, connection: Connection, served: Served, deadline_s: float) -> None:
        """Compares answers with golden rows. Each is waited for as any row is, a server that refuses them for deadline_s."""
        attempt_s = self._config.attempt_s
        await Asked(connection, served.models, served.golden, served.batches, attempt_s, deadline_s).confirm()

    def _judge(self, address: str, version: str) -> None:
        """Once for each address."""
        if address not in self._advisories:
            self._advisories[address] = advisory(address, version)
            if self._advisories[address]:
                self._warn(self._advisories[address])

    def _entered(self) -> Served:
        if self._served is None:
            raise RuntimeError("this client is not entered: use `async with ScoringClient(config) as client`")
        return self._served


def _together(served: Sequence[Served]) -> Served:
    """What all servers take: a batch may go to any of them."""
    batches = {name: min(one.batches[name] for one in served) for name in served[0].batches}
    chained = frozenset[str]().union(*(one.chained for one in served))
    return replace(served[0], max_batch=min(one.max_batch for one in served), batches=batches, chained=chained)


def _warn_of_unchecked(address: str, served: Served) -> None:
    if unchecked := [name for name in USED if name not in served.golden]:
        _log.warning(
            "the server at %s has no golden rows of %s: its answers are not checked; selector export --reuse adds them",
            address,
            ", ".join(unchecked),
        )


def _bound(served: Served, rows_in_flight: int | None) -> AdaptiveBound:
    if rows_in_flight is not None:
        return AdaptiveBound(rows_in_flight, rows_in_flight)
    first = 2 * served.max_batch * served.instances
    return AdaptiveBound(first, GREATEST_GROWTH * first)


def _check_equal(first_address: str, first: Served, address: str, other: Served) -> None:
    for name, value in other.identity.as_dict().items():
        expected = first.identity.as_dict()[name]
        if value != expected:
            raise ContractError(f"the servers differ in {name}: {first_address} has {expected}, {address} has {value}")
    if other.geometry != first.geometry:
        raise ContractError(
            f"the servers differ in geometry: {first_address} has {first.geometry}, {address} has {other.geometry}"
        )
