"""When a measurement may be believed: perf_analyzer's rule.

The last three intervals are stable if the greatest throughput is at most 10 % above the least, and the same holds for
the mean latency (perf_analyzer's `--stability-percentage`, 10 by default).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTERVALS = 3
TOLERANCE = 0.10


@dataclass(frozen=True)
class Pace:
    """What one interval is judged by. throughput: answered requests per second. latency_ms: their mean latency."""

    throughput: float
    latency_ms: float


@dataclass(frozen=True)
class Verdict:
    """Whether the last intervals agree; if they do not, `reason` says by how much they differ."""

    stable: bool
    reason: str = ""


def judge(paces: Sequence[Pace], tolerance: float = TOLERANCE) -> Verdict:
    """The verdict on the last three intervals; fewer are never stable, nor is an interval without an answer."""
    if len(paces) < INTERVALS:
        return Verdict(False, f"only {len(paces)} of {INTERVALS} intervals measured")
    last = paces[-INTERVALS:]
    differing = [
        f"{name} differs by {(max(values) / min(values) - 1) * 100:.0f} %" if min(values) > 0 else f"{name} is 0"
        for name, values in (
            ("throughput", [pace.throughput for pace in last]),
            ("mean latency", [pace.latency_ms for pace in last]),
        )
        # A hair of slack for the division alone: 1.1 / 1.0 is 10 %.
        if min(values) <= 0 or max(values) / min(values) > 1 + tolerance + 1e-9
    ]
    if differing:
        return Verdict(False, f"{' and '.join(differing)} over the last {INTERVALS} intervals")
    return Verdict(True)
