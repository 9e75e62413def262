"""Paired comparison over pools. Pure: arrays of accuracies in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences with two 95 % intervals, of Student's t and of the percentile bootstrap; n pairs.

    The intervals are not numbers for fewer than two pairs.
    """

    n: int
    mean: float
    t_low: float
    t_high: float
    boot_low: float
    boot_high: float


def paired_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> Difference:
    """ours − theirs, float64 [n] each, entry i from the same pool and seed; n ≥ 1."""
    gaps = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    n, mean = len(gaps), float(gaps.mean())
    if n < 2:
        return Difference(n, mean, *([float("nan")] * 4))
    reach = half_width(gaps)
    rows = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile(gaps[rows].mean(axis=1), [0.025, 0.975])
    return Difference(n, mean, mean - reach, mean + reach, float(low), float(high))


def half_width(values: NDArray[np.float64]) -> float:
    """Half the 95 % t interval of the mean; not a number for fewer than two values."""
    n = len(values)
    if n < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
