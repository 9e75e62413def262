"""What the chosen cover in a class that is too large for the matrix of its similarities.

Owns picks made by blocks of similarities, and those similarities that are still above what is covered. Memory is a
block, and the open similarities; whatever is chosen is chosen by the same sums as with the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from selector.selection.distances import FeatureSpace

_BLOCK = 2**23
"""Similarities that are computed at a time: 64 MB, and some such arrays beside them."""

_SAMPLE = 128
"""Rows by which the open similarities are estimated."""


class BlockPicks:
    """Picks made with a block of similarities at a time.

    Keeps every row's gain up to rounding and brings it up to date with the columns that a pick raises, of which there are
    fewer and fewer. Rows that rounding could make the best are computed as the whole matrix would. order: rows chosen so far.
    covered: float64 [m], each first patch's similarity to the nearest of them.
    """

    def __init__(self, space: FeatureSpace, first: NDArray[np.bool_], bonus: NDArray[np.float64]) -> None:
        self.order: list[int] = []
        self._space, self._bonus = space, bonus
        self._firsts = np.flatnonzero(first)
        self.covered = np.zeros(len(self._firsts))
        self._largest = 0.0
        apart = np.zeros(len(space))
        for rows in self._parts(np.arange(len(space))):
            squared = space.squared_rows(rows)
            self._largest = max(self._largest, float(squared.max(initial=0.0)))
            apart[rows] = squared[:, self._firsts].sum(axis=1)
        scale = self._largest if self._largest > 0 else 1.0
        self._rough = len(self._firsts) - apart / scale
        self._terms = len(self._firsts)

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Some of the rows at a time, and their similarities float64 [., m] to the first patches."""
        for part in self._parts(rows):
            yield part, similar(self._space.squared_rows(part)[:, self._firsts], self._largest)

    def until_few_are_open(self, tiers: Sequence[NDArray[np.int64]], limit: int) -> list[NDArray[np.int64]]:
        """Picks from one tier after the other until at most `limit` similarities of the rows left are above what is
        covered, by a sample; returns the rows left of each tier."""
        left = list(tiers)
        for number in range(len(left)):
            while len(left[number]) and self._open(np.concatenate(left)) > limit:
                pick = self._best(left[number])
                left[number] = left[number][left[number] != pick]
                self._choose(pick)
            if len(left[number]):
                break
        return left

    def _parts(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        each = max(1, _BLOCK // max(1, len(self._space)))
        return [rows[start : start + each] for start in range(0, len(rows), each)]

    def _open(self, rows: NDArray[np.int64]) -> float:
        sample = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))]
        found = sum(int((block > self.covered).sum()) for _, block in self.blocks(sample))
        return found / max(1, len(sample)) * len(rows)

    def _best(self, rows: NDArray[np.int64]) -> int:
        """The row with the greatest gain, of equal ones the first. rows: ascending."""
        rough = self._rough[rows] + self._bonus[rows]
        # |sum − its float64| ≤ terms · 2**-53 · Σ|term|, and a row's terms add up to 2 m at most.
        slack = 2.0**-50 * self._terms * max(1, len(self._firsts))
        close = rows[rough >= rough.max() - 2.0 * slack]
        if len(close) == 1:
            return int(close[0])
        best, greatest = -1, -np.inf
        for part, block in self.blocks(close):
            for row, values in zip(part.tolist(), block, strict=True):
                gain = gain_of(values, self.covered, np.empty_like(values)) + float(self._bonus[row])
                if gain > greatest:
                    best, greatest = row, gain
        return best

    def _choose(self, pick: int) -> None:
        (_, block), *_ = self.blocks(np.array([pick]))
        before = self.covered
        self.covered = np.maximum(before, block[0])
        raised = np.flatnonzero(self.covered > before)
        for part in self._parts(raised):
            squared = self._space.squared_rows(self._firsts[part])
            gained = similar(squared, self._largest)
            gained -= before[part, None]
            np.clip(gained, 0.0, (self.covered - before)[part, None], out=gained)
            self._rough -= gained.sum(axis=0)
        self._terms += len(raised)
        self.order.append(pick)


class OpenCoverage:
    """Coverage that goes on from what is begun, with those similarities at hand that are above what is covered."""

    def __init__(self, begun: BlockPicks, tiers: Sequence[NDArray[np.int64]]) -> None:
        self._covered = begun.covered
        self._raised = np.zeros(len(begun.covered))
        self._entries: dict[int, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}
        for rows, block in begun.blocks(np.concatenate([np.empty(0, np.int64), *tiers])):
            for row, values in zip(rows.tolist(), block, strict=True):
                columns = np.flatnonzero(values > self._covered)
                self._entries[row] = columns.astype(np.int32), values[columns]

    def gain(self, row: int) -> float:
        columns, values = self._entries[row]
        # Summed over all columns, zeros too: a sum over fewer terms would round in other places.
        self._raised[columns] = np.maximum(values - self._covered[columns], 0.0)
        total = float(self._raised.sum())
        self._raised[columns] = 0.0
        return total

    def choose(self, row: int) -> None:
        columns, values = self._entries.pop(row)
        self._covered[columns] = np.maximum(self._covered[columns], values)


def similar(squared: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """1 − squared / largest, in the place of squared; all 1 if largest is 0."""
    if largest > 0:
        squared /= largest
    np.subtract(1.0, squared, out=squared)
    return squared


def gain_of(values: NDArray[np.float64], covered: NDArray[np.float64], raised: NDArray[np.float64]) -> float:
    """Σ_i max(values_i − covered_i, 0); `raised` is written to."""
    np.subtract(values, covered, out=raised)
    np.maximum(raised, 0.0, out=raised)
    return float(np.add.reduce(raised))
