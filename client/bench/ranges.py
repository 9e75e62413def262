"""The numbers that the bench takes, by the names of its settings."""

from __future__ import annotations

from client.ranges import PROCESSES, SEED, above, whole

MOST_LEVELS = 1000
MEASURING = {
    "interval_s": above(0, 3600),
    "most_intervals": whole(3, 10_000),
    "slo_ms": above(0, 86_400_000),
}
"""Three intervals are needed to judge stability (stability.py)."""
LOADS = {
    "batch": whole(0, 65536),
    "concurrency": whole(1, 65536),
    "rates": above(0, 1_000_000),
    "limit_ms": above(0, 86_400_000),
    "percent": whole(1, 99),
    "rounds": whole(1, 10_000),
    "round_s": above(0, 3600),
    "threads": PROCESSES,
    "draws": whole(1, 65536),
    "seed": SEED,
}
