"""A client's statistics as a Prometheus text endpoint on loopback: GET /metrics.

It runs in the client's own event loop, so it leaves no thread, and what it tells is of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from client.errors import ServerError
from client.statistics import Statistics

LOOPBACK = "127.0.0.1"
_REQUEST_S = 5.0
_COUNTERS = (
    *("rows", "failures", "requests", "hedges", "hedges_won", "bytes_sent", "bytes_received"),
    *("shared_requests", "shared_bytes", "shared_fallbacks", "slots_retired"),
)
_GAUGES = ("in_flight", "bytes_in_flight", "most_bytes_in_flight")
_REPLICA_COUNTERS = ("rows", "requests", "failed", "ejections")
_REPLICA_GAUGES = ("in_flight", "bound")


@asynccontextmanager
async def serve_metrics(port: int, statistics: Callable[[], Statistics]) -> AsyncIterator[str]:
    """Serves inside the `with`; gives the URL. Raises ServerError if the port can't be used."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.startswith(b"GET /metrics ")
                body = prometheus_text(statistics()).encode() if found else b"GET /metrics is all there is\n"
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
        server = await asyncio.start_server(answer, LOOPBACK, port)
    except OSError as error:
        raise ServerError(
            f"metrics: port {port} of {LOOPBACK} can't be used: {error.strerror}. Choose another, or 0 for a free one"
        ) from error
    async with server:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/metrics"


def prometheus_text(statistics: Statistics) -> str:
    """The statistics in Prometheus's text format, version 0.0.4."""
    lines: list[str] = []
    for names, kind in ((_COUNTERS, "counter"), (_GAUGES, "gauge")):
        for name in names:
            lines += _family(name, kind, [("", getattr(statistics, name))])
    lines += _family("retries", "counter", [(_labels(cause=c), n) for c, n in sorted(statistics.retries.items())])
    for replica_names, kind in ((_REPLICA_COUNTERS, "counter"), (_REPLICA_GAUGES, "gauge")):
        for name in replica_names:
            samples = [(_labels(replica=r.address), getattr(r, name)) for r in statistics.replicas]
            lines += _family(f"replica_{name}", kind, samples)
    ready = [(_labels(replica=r.address), int(r.state == "ready")) for r in statistics.replicas]
    lines += _family("replica_ready", "gauge", ready)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, samples: list[tuple[str, int]]) -> list[str]:
    full = f"selector_client_{name}" + ("_total" if kind == "counter" else "")
    return [f"# TYPE {full} {kind}", *(f"{full}{labels} {value}" for labels, value in samples)]


def _labels(**values: str) -> str:
    escaped = (f'{k}="{v}"' for k, v in ((k, v.replace("\\", r"\\").replace('"', r"\"")) for k, v in values.items()))
    return "{" + ",".join(escaped) + "}"
