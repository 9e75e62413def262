"""When requests are meant to be sent.

Schedules of an open loop. A schedule never looks at answers: that is what makes the loop open.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

ARRIVALS = ("constant", "poisson")
_DRAWN_AT_ONCE = 1024


def offsets(kind: str, rate: float, seed: int) -> Iterator[float]:
    """Seconds after the start at which requests are due, ascending and without end; `rate` of them a second.

    "constant": evenly spaced. "poisson": independent exponential gaps, as of many users who know nothing of each other.
    Raises ValueError for another kind or a rate that is not positive.
    """
    if rate <= 0:
        raise ValueError(f"a rate must be positive, not {rate:g} requests/s")
    if kind == "constant":
        return (number / rate for number in itertools.count())
    if kind == "poisson":
        return _poisson(rate, np.random.default_rng(seed))
    raise ValueError(f"arrivals are {' or '.join(ARRIVALS)}, not {kind!r}")


def _poisson(rate: float, random: np.random.Generator) -> Iterator[float]:
    due = 0.0
    while True:
        for gap in random.exponential(1 / rate, _DRAWN_AT_ONCE):
            due += float(gap)
            yield due
