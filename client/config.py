"""What a client needs to be told: one frozen object, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from client.delivery import Backoff, RetryBudget
from client.metrics import metrics_place
from client.ranges import SECONDS, real, refuse_outside, whole
from client.wire import TRANSPORTS, Security, Trace, check_servers

_BYTES = whole(1, 1 << 40)
RANGES = {
    "rows_in_flight": whole(1, 1 << 24),
    "bytes_in_flight": _BYTES,
    "request_bytes": _BYTES,
    "linger_s": real(0, 60),
    "ready_s": real(0, 86400),
    "deadline_s": SECONDS,
    "attempt_s": SECONDS,
}


@dataclass(frozen=True)
class ClientConfig:
    """The settings of a `ScoringClient`.

    servers: "host:port" of each, "dns:///name:port" of all at a name, "file:PATH" of all in a file's lines; the last two are
    looked at again every few seconds. rows_in_flight: rows sent and unanswered at most, over all
    replicas; None leaves it to each replica's bound, which starts at 2 × max_batch_size × UNet instances (a full batch
    waits behind each one that runs) and adapts. bytes_in_flight: what rows sent and unanswered may weigh, inputs and
    outputs; each call of `score` holds at most as much again. request_bytes: what one request's rows may weigh.
    linger_s: how long a partial batch waits for more rows. ready_s: how long to wait for a server at the start.
    deadline_s: how long one batch is insisted on from its first attempt, attempt_s on each attempt; both in seconds.
    budget: retries of the whole run. trace: a W3C traceparent that every request joins, "new" for one of the client's
    own, "" for none. transport: one of transports.TRANSPORTS; "auto" chooses by a request's size and where the server
    is. metrics_address: "HOST:PORT" of a Prometheus endpoint, "PORT" of one on loopback, 0 for a free port, "" for none.
    repository: what the servers are said to serve, a folder on this machine; a server without Triton's ModelConfig needs it
    (docs/interoperability.md), others are compared with it.
    """

    servers: tuple[str, ...]
    rows_in_flight: int | None = None
    bytes_in_flight: int = 256 << 20
    request_bytes: int = 32 << 20
    linger_s: float = 0.005
    ready_s: float = 30.0
    deadline_s: float = 120.0
    attempt_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)
    budget: RetryBudget = field(default_factory=RetryBudget)
    security: Security = field(default_factory=Security)
    trace: str = ""
    transport: str = "auto"
    metrics_address: str = ""
    repository: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        if not self.servers:
            raise ValueError("servers: at least one address is needed, such as localhost:8001")
        check_servers(self.servers)
        refuse_outside(RANGES, self)
        if self.transport not in TRANSPORTS:
            raise ValueError(f"transport must be one of {', '.join(TRANSPORTS)}, not {self.transport!r}")
        if self.metrics_address:
            try:
                metrics_place(self.metrics_address)
            except ValueError as error:
                raise ValueError(f"metrics_address {error}") from None
        if self.trace:
            Trace(self.trace)
