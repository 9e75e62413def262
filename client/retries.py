"""What to do about a failed request, and how long to wait before trying again.

Owns the table of statuses and the backoff. Pure. Every model is a function of its inputs (draws are constants of the
graph), so a repeated request can do no harm; the question is only whether it can do good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

from client.ranges import real, refuse_outside, whole


class Remedy(Enum):
    """What to do about a failed request."""

    RETRY = "try again, elsewhere if there is an elsewhere, until the deadline"
    ISOLATE = "try again once, then halve the batch until the row at fault stands alone"
    STOP = "every other request would fail likewise"


# Statuses that are not listed stop the run: trying again would not change them.
REMEDIES: Mapping[str, Remedy] = {
    "UNAVAILABLE": Remedy.RETRY,
    "CANCELLED": Remedy.RETRY,  # by the server; our own cancellation never comes here
    "DEADLINE_EXCEEDED": Remedy.RETRY,
    "ABORTED": Remedy.RETRY,
    "INTERNAL": Remedy.ISOLATE,
    "UNKNOWN": Remedy.ISOLATE,
}

# Triton says UNAVAILABLE to four different things; only the text tells them apart.
_QUEUE_FULL = "Exceeds maximum queue size"
_QUEUE_TIMEOUT = "Request timeout expired"
_RESTRICTED = "protocol is restricted"
# INTERNAL or UNKNOWN at times, though no row is at fault: a connection that breaks in mid-call, and a stub of Triton's
# python backend that a busy machine kept from answering its health check in time (seen at six processes a core).
_NO_ROWS_FAULT = (
    "RST_STREAM",
    "Stream removed",
    "Socket closed",
    "Connection reset",
    "GOAWAY",
    "recvmsg",
    "sendmsg",
    "is not healthy",
)
QUEUE_FULL, QUEUE_TIMEOUT = "queue full", "queue timeout"


@dataclass(frozen=True)
class Backoff:
    """Waits that double from first_s to longest_s, each shortened at random by up to a half."""

    first_s: float = 0.05
    longest_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        refuse_outside({"first_s": real(0, 86400), "longest_s": real(0, 86400)}, self)

    def wait_s(self, retry: int, random: Random) -> float:
        """How long to wait before the retry of this number, counted from 0."""
        # An exponent beyond 30 would exceed any sensible longest_s, and overflow in the end.
        return min(self.longest_s, self.first_s * 2.0 ** min(retry, 30)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class RetryBudget:
    """How many retries a run may spend: `reserve`, and `share` of the requests that were answered.

    It keeps a fleet that half fails from being buried in repetitions, and a night from being spent on them. A refusal by
    a full queue is not charged: it is the server's way of setting the pace.
    """

    reserve: int = 1000
    share: float = 0.2

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        refuse_outside({"reserve": whole(0, 1 << 40), "share": real(0, 1_000_000)}, self)

    def allows(self, retries: int, answered: int) -> bool:
        """Whether one more retry may be made after so many, in a run with so many answered requests."""
        return retries < self.reserve + self.share * answered


def remedy(status: str, message: str) -> Remedy:
    """What to do about a request that failed with this gRPC status and text."""
    if status == "UNAVAILABLE" and _RESTRICTED in message:
        return Remedy.STOP
    found = REMEDIES.get(status, Remedy.STOP)
    if found is Remedy.ISOLATE and any(text in message for text in _NO_ROWS_FAULT):
        return Remedy.RETRY
    return found


def cause(status: str, message: str) -> str:
    """The name under which a retry is counted."""
    if _QUEUE_FULL in message:
        return QUEUE_FULL
    if _QUEUE_TIMEOUT in message:
        return QUEUE_TIMEOUT
    return status.lower().replace("_", " ")
