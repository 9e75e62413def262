"""What a client has done so far, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReplicaStatistics:
    """One server's share. state: "ready" or "ejected"; reason: why it was last ejected. in_flight: rows it holds now of
    the `bound` that it may hold. requests: sent, hedges and retries included. failed: requests without an answer."""

    address: str
    state: str
    reason: str
    in_flight: int
    bound: int
    rows: int
    requests: int
    failed: int
    ejections: int


@dataclass(frozen=True)
class Sharing:
    """Shared memory with servers of this machine. requests: whose inputs went by it, of so many bytes. fallbacks: that
    might have, but found no slot. retired: slots never used again, since the server may still have been reading."""

    requests: int = 0
    nbytes: int = 0
    fallbacks: int = 0
    retired: int = 0


@dataclass(frozen=True)
class Statistics:
    """Counts since the client was entered.

    rows: with a result; failures: those of them without an answer. rows_per_second: results of the last half minute.
    in_flight: rows sent and not yet answered. waiting: rows that the client holds and has not yet sent.
    retries: by cause. hedges: requests sent a second time because a replica was slow; hedges_won: where the second
    answer came first. golden_failures: servers that came back with other answers than the models were exported with.
    bytes_sent, bytes_received: of messages. shared_*, slots_retired: as in `Sharing`, over all
    replicas. bytes_in_flight: of rows held now; most: so far.
    """

    rows: int = 0
    failures: int = 0
    requests: int = 0
    in_flight: int = 0
    waiting: int = 0
    rows_per_second: float = 0.0
    retries: Mapping[str, int] = field(default_factory=dict)
    hedges: int = 0
    hedges_won: int = 0
    golden_failures: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    shared_requests: int = 0
    shared_bytes: int = 0
    shared_fallbacks: int = 0
    slots_retired: int = 0
    bytes_in_flight: int = 0
    most_bytes_in_flight: int = 0
    replicas: tuple[ReplicaStatistics, ...] = ()
