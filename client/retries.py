"""What to do about a failed request, and how long to wait before trying again.

Owns the table of statuses and the backoff. Pure. Every model is a function of its inputs (draws are constants of the
graph), so a repeated request can do no harm; the question is only whether it can do good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random


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


@dataclass(frozen=True)
class Backoff:
    """Waits that double from first_s to longest_s, each shortened at random by up to a half."""

    first_s: float = 0.05
    longest_s: float = 2.0

    def wait_s(self, retry: int, random: Random) -> float:
        """How long to wait before the retry of this number, counted from 0."""
        # An exponent beyond 30 would exceed any sensible longest_s, and overflow in the end.
        return min(self.longest_s, self.first_s * 2.0 ** min(retry, 30)) * random.uniform(0.5, 1.0)


def remedy(status: str, message: str) -> Remedy:
    """What to do about a request that failed with this gRPC status and text."""
    if status == "UNAVAILABLE" and _RESTRICTED in message:
        return Remedy.STOP
    return REMEDIES.get(status, Remedy.STOP)


def cause(status: str, message: str) -> str:
    """The name under which a retry is counted."""
    if _QUEUE_FULL in message:
        return "queue full"
    if _QUEUE_TIMEOUT in message:
        return "queue timeout"
    return status.lower().replace("_", " ")
