"""Facility location: the order in which every patch of the class soon has a chosen one near it.

It is the greedy maximum of Σ_i max_{j chosen} s_ij + weight · Σ_{j chosen} t_j. i runs over images' best patches; s_ij is
1 − squared distance / the class's largest one, in [0, 1]; t is typicality scaled to [0, 1] within the class. Gains are sums
in float64 whose order follows the sorted rows, so each has one value on every machine; equal ones go to the first row.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.selection.block_coverage import BlockPicks, OpenCoverage, gain_of, similar
from selector.selection.class_patches import ClassPatches
from selector.selection.clustering import Clustering
from selector.selection.distances import FeatureSpace

FACILITY_LIMIT = 50_000
"""Rows above which facility location is refused: its time grows with their square (docs/decisions/014-orders.md)."""

OPEN_LIMIT = 2**25
"""Similarities that are held at a time above the matrix limit: 400 MB with their columns."""


@dataclass(frozen=True)
class FacilityLocation:
    """The ranking, by lazy evaluation (Minoux 1978): gains only shrink, so most are never computed again.

    Up to the space's matrix limit the similarities are held. Above, the first picks are made by blocks of them
    (`BlockPicks`), until so few are above what is covered already that those are held instead: at most open_limit, as
    estimated. The order is the same, bit for bit. Raises SelectorError for more than FACILITY_LIMIT patches.
    """

    weight: float = 0.5
    open_limit: int = OPEN_LIMIT

    def __call__(self, patches: ClassPatches) -> tuple[NDArray[np.int64], Clustering | None]:
        if len(patches) > FACILITY_LIMIT:
            raise SelectorError(
                f"facility-location compares all patches of a class with each other: {len(patches)} are more than "
                f"{FACILITY_LIMIT}; use --order clusters or herding"
            )
        bonus = self.weight * unit_range(patches.typicality)
        if patches.space.holds_matrix:
            held = similarity(patches.space)
            held = held if patches.first.all() else np.ascontiguousarray(held[:, patches.first])
            return np.array(_lazily(HeldCoverage(held), patches.tiers(), bonus), dtype=np.int64), None
        begun = BlockPicks(patches.space, patches.first, bonus)
        rest = begun.until_few_are_open(patches.tiers(), self.open_limit)
        order = begun.order + _lazily(OpenCoverage(begun, rest), rest, bonus)
        return np.array(order, dtype=np.int64), None


def similarity(space: FeatureSpace) -> NDArray[np.float64]:
    """float64 [n, n] in [0, 1]: 1 − squared distance / the class's largest one; all 1 if all rows are the same."""
    squared = space.squared_rows(np.arange(len(space)))
    return similar(squared, float(squared.max(initial=0.0)))


def unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values moved and scaled to [0, 1]; all 0 if they are the same."""
    least, greatest = values.min(initial=np.inf), values.max(initial=-np.inf)
    return (values - least) / (greatest - least) if greatest > least else np.zeros_like(values)


class _Coverage(Protocol):
    """What the chosen cover."""

    def gain(self, row: int) -> float:
        """By how much this row would raise Σ_i max_{j chosen} s_ij."""

    def choose(self, row: int) -> None:
        """The row is chosen from now on."""


def _lazily(coverage: _Coverage, tiers: Sequence[NDArray[np.int64]], bonus: NDArray[np.float64]) -> list[int]:
    """All rows of the tiers, one tier after the other."""
    order: list[int] = []
    for tier in tiers:
        heap = [(-np.inf, int(row)) for row in tier]
        while heap:
            _, row = heapq.heappop(heap)
            gain = coverage.gain(row) + float(bonus[row])
            # Gains only shrink: one computed now that still leads is the greatest; equal ones go to the first row.
            if heap and (-gain, row) > heap[0]:
                heapq.heappush(heap, (-gain, row))
                continue
            order.append(row)
            coverage.choose(row)
    return order


class HeldCoverage:
    """Coverage with all similarities at hand, float64 [n, m] to the m first patches."""

    def __init__(self, to_first: NDArray[np.float64]) -> None:
        self._to_first = to_first
        self._covered, self._raised = np.zeros((2, to_first.shape[1]))

    def gain(self, row: int) -> float:
        return gain_of(self._to_first[row], self._covered, self._raised)

    def choose(self, row: int) -> None:
        np.maximum(self._covered, self._to_first[row], out=self._covered)
