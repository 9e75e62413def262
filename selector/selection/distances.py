"""Distances between the diffusion features of one class, the same on every machine.

Owns the Gram matrix and what is read off it. Must not know of clusters, typicality or images.

Features are float16 and L2-normalised: every product is a multiple of 2**-48, and sums below 2**5 fit float64's
53 bits, so dot products and squared distances are *exact*. Whatever BLAS, thread count or order of summation,
they come out bit for bit the same, and so do the choices made from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError

MATRIX_LIMIT = 5_000
"""Up to this many rows the whole n × n matrix is held (200 MB); above, rows of it are made when asked for."""

_BLOCK = 512
_SAMPLE = 1_000
_NEAR = 0.1  # of the median distance between two patches of the class; assumed


def unit_features(features: NDArray[np.float16]) -> NDArray[np.float16]:
    """The features [n, F] as float16, checked: finite, two-dimensional and no value above 1 in size.

    Raises SelectorError otherwise: an infinite or a large value would make distances inexact without a word.
    """
    rounded = np.asarray(features, dtype=np.float16)
    if rounded.ndim != 2:
        raise SelectorError(f"features must have shape [n, F], got {list(rounded.shape)}")
    if not np.isfinite(rounded).all():
        row = int(np.flatnonzero(~np.isfinite(rounded).all(axis=1))[0])
        raise SelectorError(f"feature row {row} holds NaN or Inf; score that image again before selecting")
    if rounded.size and float(np.abs(rounded).max()) > 1.0:
        raise SelectorError("features must be L2-normalised: a value is above 1 in size")
    return rounded


class FeatureSpace:
    """Squared Euclidean distances and dot products between n feature rows; exact in float64.

    features: float16 [n, F], L2-normalised up to rounding. Holds the whole matrix up to MATRIX_LIMIT rows.
    """

    def __init__(self, features: NDArray[np.float16], matrix_limit: int = MATRIX_LIMIT) -> None:
        self._matrix_limit = matrix_limit
        self._hold(unit_features(features).astype(np.float64), None)

    def _hold(self, points: NDArray[np.float64], gram: NDArray[np.float64] | None) -> None:
        self.points = points
        self.squared_norm: NDArray[np.float64] = np.einsum("nf,nf->n", points, points)
        self._held = gram

    def subset(self, rows: NDArray[np.int64]) -> FeatureSpace:
        """The space of these rows, in their order, which holds its own matrix if it is small enough."""
        part = FeatureSpace.__new__(FeatureSpace)
        part._matrix_limit = self._matrix_limit
        part._hold(self.points[rows], None if self._held is None else self._held[np.ix_(rows, rows)])
        return part

    @property
    def _gram(self) -> NDArray[np.float64] | None:
        """The matrix of dot products, made when it is first asked for; None above the limit."""
        if self._held is None and self.holds_matrix:
            self._held = self.points @ self.points.T
        return self._held

    def __len__(self) -> int:
        return len(self.points)

    @property
    def holds_matrix(self) -> bool:
        """Whether the rows are few enough for the whole matrix."""
        return len(self) <= self._matrix_limit

    def dot(self, row: int) -> NDArray[np.float64]:
        """float64 [n], the dot products of every row with this one."""
        gram = self._gram
        dots: NDArray[np.float64] = self.points @ self.points[row] if gram is None else gram[row]
        return dots

    def dots(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 [len(rows), n], the dot products of these rows with every row."""
        gram = self._gram
        dots: NDArray[np.float64] = self.points[rows] @ self.points.T if gram is None else gram[rows]
        return dots

    def squared(self, row: int) -> NDArray[np.float64]:
        """float64 [n], the squared distances of every row to this one; 0 to itself."""
        squared: NDArray[np.float64] = self.squared_norm + self.squared_norm[row] - 2.0 * self.dot(row)
        return squared

    def squared_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 [len(rows), n], the squared distances of these rows to every row."""
        squared: NDArray[np.float64] = self.squared_norm[rows][:, None] + self.squared_norm - 2.0 * self.dots(rows)
        return squared

    def matrix(self) -> NDArray[np.float64]:
        """float64 [n, n], the distances (not squared) between all rows."""
        distances: NDArray[np.float64] = np.sqrt(self.squared_rows(np.arange(len(self))))
        return distances

    def near_limit(self) -> float:
        """The squared distance up to which two patches are near-duplicates: a tenth of the median distance, squared.

        The median is over all pairs up to 1,000 rows, over 1,000 evenly spaced rows above. If most patches are
        identical it is 0, and only identical ones are near. 0 for fewer than two rows.
        """
        if len(self) < 2:
            return 0.0
        sample = np.unique(np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).astype(np.int64))
        between = self.squared_rows(sample)[:, sample][np.triu_indices(len(sample), k=1)]
        return _NEAR**2 * float(np.median(between))

    def crowded(self, limit: float) -> NDArray[np.bool_]:
        """bool [n]: True for a row with another row within this squared distance."""
        near = np.zeros(len(self), dtype=np.bool_)
        for start in range(0, len(self), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self)))
            near[rows] = (self.squared_rows(rows) <= limit).sum(axis=1) > 1
        return near
