"""Intervals of means over images, by resampling.

Owns the bootstrap. Must not know what was measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 2000


def interval(
    values: NDArray[np.floating | np.bool_], items: NDArray[np.int64] | None = None, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over images.

    items: int64 [n], equal for images of one item: items are resampled, each with all its images. None: every image is its own.
    """
    exact = values.astype(np.float64)
    _, of = np.unique(np.arange(len(exact)) if items is None else items, return_inverse=True)
    sums, counts = np.bincount(of, exact), np.bincount(of)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(_RESAMPLES):
        drawn = rng.integers(len(sums), size=len(sums))
        means.append(sums[drawn].sum() / counts[drawn].sum())
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def with_interval(values: NDArray[np.floating | np.bool_], items: NDArray[np.int64] | None = None) -> str:
    """The mean over images and its interval, as a cell of a table."""
    low, high = interval(values, items)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"
