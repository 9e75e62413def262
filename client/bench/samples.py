"""What one request was like, and what many of them were like together.

Latency counts from the moment at which a request was *meant* to be sent, so that a client that falls behind its
schedule makes latencies longer, not fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Sample:
    """One request: three moments in seconds of one monotonic clock, and the reason if it failed.

    intended_s: when the schedule wanted it sent; in a closed loop, when it was sent.
    """

    intended_s: float
    sent_s: float
    done_s: float
    error: str = ""

    @property
    def latency_s(self) -> float:
        """From the intended send to the answer."""
        return self.done_s - self.intended_s

    @property
    def lag_s(self) -> float:
        """How late the client itself was."""
        return self.sent_s - self.intended_s


@dataclass(frozen=True)
class Latency:
    """Milliseconds over the answered requests; percentiles are (percent, value) pairs. All 0 if there are none."""

    mean_ms: float
    percentiles_ms: tuple[tuple[int, float], ...]
    greatest_ms: float

    def at(self, percent: int) -> float:
        """The percentile of this number; raises KeyError if it was not computed."""
        return dict(self.percentiles_ms)[percent]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the ascending values do not exceed (nearest rank).

    A value that occurred, never one between two; with few samples the high percentiles are the greatest one. Raises
    ValueError if there are no values.
    """
    if not ordered:
        raise ValueError("a percentile of no values")
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def latency(samples: Sequence[Sample]) -> Latency:
    """Latency of the requests that were answered."""
    values = sorted(sample.latency_s * 1e3 for sample in samples if not sample.error)
    if not values:
        return Latency(0.0, tuple((p, 0.0) for p in PERCENTILES), 0.0)
    return Latency(math.fsum(values) / len(values), tuple((p, percentile(values, p)) for p in PERCENTILES), values[-1])


def lag_ms(samples: Sequence[Sample], percent: int = 99) -> float:
    """A percentile of how late the client sent, in milliseconds; 0 without samples."""
    values = sorted(sample.lag_s * 1e3 for sample in samples)
    return percentile(values, percent) if values else 0.0


def within(samples: Sequence[Sample], slo_ms: float) -> int:
    """How many requests were answered within the limit: failed and late ones are not goodput."""
    return sum(not sample.error and sample.latency_s * 1e3 <= slo_ms for sample in samples)
