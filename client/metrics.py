"""A client's statistics as a Prometheus text endpoint: GET /metrics.

It runs in the client's own event loop, so it leaves no thread, and what it tells of the client is of one moment.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from client.errors import ServerError
from client.ranges import ANY_PORT
from client.statistics import Statistics
from client.wire import CAUSES

LOOPBACK = "127.0.0.1"
_REQUEST_S = 5.0
_COUNTERS = (
    *("rows", "failures", "requests", "hedges", "hedges_won", "golden_failures", "bytes_sent", "bytes_received"),
    *("shared_requests", "shared_bytes", "shared_fallbacks", "slots_retired"),
)
_GAUGES = ("in_flight", "waiting", "rows_per_second", "bytes_in_flight", "most_bytes_in_flight")
_REPLICA_COUNTERS = ("rows", "requests", "failed", "ejections")
_REPLICA_GAUGES = ("in_flight", "bound")

Gauges = Mapping[str, Callable[[], float]]
"""The whole name of each, and what gives its value; NaN: unknown now."""


def metrics_place(address: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT"; of "PORT" alone the host is loopback. Raises ValueError in words that follow a name."""
    host, colon, port = address.rpartition(":")
    bare = ":" not in host or (host.startswith("[") and host.endswith("]"))
    if bare and bool(host) == bool(colon) and port.isascii() and port.isdigit() and ANY_PORT.holds(int(port)):
        return host.strip("[]") or LOOPBACK, int(port)
    raise ValueError(
        f"must be an address such as 9101 (on loopback), 0.0.0.0:9101 or [::]:9101, its port {ANY_PORT}, not {address!r}"
    )


@asynccontextmanager
async def serve_metrics(address: str, statistics: Callable[[], Statistics], gauges: Gauges) -> AsyncIterator[str]:
    """Serves inside the `with`; gives the URL. gauges: are asked in a thread, since a disk may be slow to answer.

    Raises ServerError if the address can't be used.
    """
    host, port = metrics_place(address)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.startswith(b"GET /metrics ")
                further = await asyncio.to_thread(_values, dict(gauges)) if found and gauges else {}
                text = prometheus_text(statistics(), further) if found else "GET /metrics is all there is\n"
                body = text.encode()
                status = "200 OK" if found else "404 Not Found"
                kind = "text/plain; version=0.0.4; charset=utf-8"
                writer.write(
                    f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # whoever asked went away, or was no HTTP client
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        raise ServerError(
            f"metrics: port {port} of {host} can't be used: {error.strerror}. Choose another, or 0 for a free one"
        ) from error
    async with server:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{server.sockets[0].getsockname()[1]}/metrics"


def prometheus_text(statistics: Statistics, gauges: Mapping[str, float] | None = None) -> str:
    """The statistics in Prometheus's text format, version 0.0.4, and further gauges by their whole names."""
    lines: list[str] = []
    for names, kind in ((_COUNTERS, "counter"), (_GAUGES, "gauge")):
        for name in names:
            lines += _family(name, kind, [("", getattr(statistics, name))])
    retries = dict.fromkeys(CAUSES, 0) | dict(statistics.retries)
    lines += _family("retries", "counter", [(_labels(cause=c), n) for c, n in sorted(retries.items())])
    for replica_names, kind in ((_REPLICA_COUNTERS, "counter"), (_REPLICA_GAUGES, "gauge")):
        for name in replica_names:
            samples = [(_labels(replica=r.address), getattr(r, name)) for r in statistics.replicas]
            lines += _family(f"replica_{name}", kind, samples)
    ready = [(_labels(replica=r.address), int(r.state == "ready")) for r in statistics.replicas]
    lines += _family("replica_ready", "gauge", ready)
    for whole_name, value in (gauges or {}).items():
        lines += [f"# TYPE {whole_name} gauge", f"{whole_name} {value}"]
    return "\n".join(lines) + "\n"


def _values(gauges: Gauges) -> dict[str, float]:
    """What each gauge says; one that fails says NaN, since it must not cost the others."""
    return {name: _value(ask) for name, ask in gauges.items()}


def _value(ask: Callable[[], float]) -> float:
    try:
        return ask()
    except OSError:
        return math.nan


def _family(name: str, kind: str, samples: Sequence[tuple[str, float]]) -> list[str]:
    full = f"selector_client_{name}" + ("_total" if kind == "counter" else "")
    return [f"# TYPE {full} {kind}", *(f"{full}{labels} {value}" for labels, value in samples)]


def _labels(**values: str) -> str:
    escaped = (f'{k}="{v}"' for k, v in ((k, v.replace("\\", r"\\").replace('"', r"\"")) for k, v in values.items()))
    return "{" + ",".join(escaped) + "}"
