"""What to do about a request that failed with a gRPC status, and under which name it is counted.

Every model is a function of its inputs (draws are constants of the graph), so a repeated request can do no harm; the
question is only whether it can do good.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


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
CAUSES = (QUEUE_FULL, QUEUE_TIMEOUT, *(status.lower().replace("_", " ") for status in REMEDIES))
"""Under which retries are counted."""


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
