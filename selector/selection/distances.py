"""Distances between the diffusion features of one class, the same on every machine.

Features are float16 and L2-normalised: every product is a multiple of 2**-48, and sums below 2**5 fit float64's
53 bits, so dot products and squared distances are *exact*. Whatever BLAS, thread count or order of summation,
they come out bit for bit the same, and so do the choices made from them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.records import Features

MATRIX_LIMIT = 5_000
"""Up to this many rows the whole n × n matrix is held (200 MB); above, rows of it are made when asked for."""

_BLOCK = 512
_SAMPLE = 1_000
_NEAR = 0.1  # of the median distance between two patches of the class; assumed


def unit_points(features: Features) -> NDArray[np.float64]:
    """The features [n, F], rounded to float16 and checked: finite, two-dimensional and no value above 1 in size.

    Raises SelectorError otherwise: an infinite or a large value would make distances inexact without a word.
    """
    points = np.asarray(features, dtype=np.float16).astype(np.float64)
    if points.ndim != 2:
        raise SelectorError(f"features must have shape [n, F], got {list(points.shape)}")
    largest = max(points.max(initial=0.0), -points.min(initial=0.0))
    if not np.isfinite(largest):
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise SelectorError(f"feature row {row} holds NaN or Inf; score that image again before selecting")
    if largest > 1.0:
        raise SelectorError("features must be L2-normalised: a value is above 1 in size")
    return points


class FeatureSpace:
    """Squared Euclidean distances and dot products between n feature rows; exact in float64.

    features: float16 [n, F], L2-normalised up to rounding. Holds all squared distances up to matrix_limit rows.
    """

    def __init__(self, features: Features, matrix_limit: int = MATRIX_LIMIT) -> None:
        self._matrix_limit = matrix_limit
        self._points: NDArray[np.float64] | None = unit_points(features)
        self.squared_norm: NDArray[np.float64] = np.einsum("nf,nf->n", self._points, self._points)
        self._held: NDArray[np.float64] | None = None
        self._of: tuple[FeatureSpace, NDArray[np.int64]] | None = None

    def subset(self, rows: NDArray[np.int64]) -> FeatureSpace:
        """The space of these rows, in their order, which holds its own matrix if it is small enough."""
        part = FeatureSpace.__new__(FeatureSpace)
        part._matrix_limit = self._matrix_limit
        part._points, part._of = None, (self, rows)
        part.squared_norm = self.squared_norm[rows]
        part._held = None if self._held is None else self._held[np.ix_(rows, rows)]
        return part

    @property
    def points(self) -> NDArray[np.float64]:
        """float64 [n, F]; a subset copies them when they are first asked for."""
        if self._points is None:
            assert self._of is not None
            whole, rows = self._of
            self._points = whole.points[rows]
        return self._points

    @property
    def _squared(self) -> NDArray[np.float64] | None:
        """All squared distances [n, n], made from the Gram matrix when first asked for; None above the limit."""
        if self._held is None and self.holds_matrix:
            held = self.points @ self.points.T
            held *= -2.0
            held += self.squared_norm[:, None]
            held += self.squared_norm
            self._held = held
        return self._held

    def __len__(self) -> int:
        return len(self.squared_norm)

    @property
    def holds_matrix(self) -> bool:
        """Whether the rows are few enough for the whole matrix."""
        return len(self) <= self._matrix_limit

    def dot(self, row: int) -> NDArray[np.float64]:
        """float64 [n], the dot products of every row with this one."""
        held = self._squared
        if held is None:
            return np.asarray(self.points @ self.points[row])
        return np.asarray((self.squared_norm + self.squared_norm[row] - held[row]) / 2.0)

    def squared(self, row: int) -> NDArray[np.float64]:
        """float64 [n], the squared distances of every row to this one, 0 to itself; not to be written to."""
        held = self._squared
        if held is not None:
            return np.asarray(held[row])
        return np.asarray(self.squared_norm + self.squared_norm[row] - 2.0 * self.dot(row))

    def squared_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 [len(rows), n], the squared distances of these rows to every row."""
        held = self._squared
        if held is not None:
            return np.asarray(held[rows])
        dots = self.points[rows] @ self.points.T
        return np.asarray(self.squared_norm[rows][:, None] + self.squared_norm - 2.0 * dots)

    def pairs(self) -> NDArray[np.float64]:
        """float64 [n (n - 1) / 2], the squared distances of all pairs, in the order of scipy's pdist."""
        each = [np.empty(0), *(self.squared(row)[row + 1 :] for row in range(len(self)))]
        return np.concatenate(each)

    def distinct(self) -> int:
        """How many different feature rows there are; squared distances are exact, so equal rows and no others are at 0."""
        held = self._squared
        if held is None:
            return len(np.unique(self.points, axis=0))
        return int((~np.tril(held == 0.0, -1).any(axis=1)).sum())

    def near_limit(self) -> float:
        """The squared distance up to which two patches are near-duplicates: a tenth of the median distance, squared.

        The median is over all pairs up to 1,000 rows, over 1,000 evenly spaced rows above. If most patches are
        identical it is 0, and only identical ones are near. 0 for fewer than two rows.
        """
        if len(self) < 2:
            return 0.0
        sample = np.unique(np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).astype(np.int64))
        return _NEAR**2 * float(np.median(self.subset(sample).pairs()))

    def crowded(self, limit: float) -> NDArray[np.bool_]:
        """bool [n]: True for a row with another row within this squared distance."""
        near = np.zeros(len(self), dtype=np.bool_)
        for start in range(0, len(self), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self)))
            near[rows] = (self.squared_rows(rows) <= limit).sum(axis=1) > 1
        return near
