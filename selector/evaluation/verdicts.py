"""Which --take and --order to use, by what students of each knew. Pure: accuracies by pool in, a verdict in plain words out.

The rule: the default stands first. Each other candidate, the less it changes the earlier, takes the place of what stands
if the 95 % t interval of their paired difference lies above 0. Where no interval does, the default stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.config import ExportConfig
from selector.evaluation.intervals import Difference, paired_difference
from selector.selection.ordering import DEFAULT_ORDER

_TAKES = {"patch": "patches", "image": "whole images"}


@dataclass(frozen=True)
class Candidate:
    """What is handed out, and the method of the evaluation that is it."""

    method: str
    take: str
    order: str

    @property
    def options(self) -> str:
        """As one writes it on a command line."""
        return f"--take {self.take} --order {self.order}"

    @property
    def words(self) -> str:
        """What it is, within a sentence."""
        return f"{_TAKES[self.take]} ({self.order})"

    @property
    def changes(self) -> int:
        """How many options differ from the default."""
        return (self.take != ExportConfig.take) + (self.order != DEFAULT_ORDER)


CANDIDATES = tuple(
    sorted(
        (
            Candidate(DEFAULT_ORDER, "patch", DEFAULT_ORDER),
            Candidate(f"{DEFAULT_ORDER}+whole", "image", DEFAULT_ORDER),
            Candidate("window-random", "patch", "random"),
            Candidate("random-image", "image", "random"),
        ),
        key=lambda candidate: candidate.changes,
    )
)
"""The default first."""


@dataclass(frozen=True)
class Comparison:
    """A candidate against what stood when its turn came. gap: candidate − stood, in points."""

    candidate: Candidate
    stood: Candidate
    gap: Difference

    @property
    def words(self) -> str:
        """One line for people."""
        gap = self.gap
        told = "ahead" if gap.t_low > 0 else "behind" if gap.t_high < 0 else "no difference told"
        return (
            f"{self.candidate.words} against {self.stood.words}: {gap.mean:+.1f} points "
            f"[{gap.t_low:.1f}, {gap.t_high:.1f}], {told}"
        )


@dataclass(frozen=True)
class Verdict:
    """What stands in the end, and the comparisons that led there."""

    chosen: Candidate
    comparisons: tuple[Comparison, ...]

    @property
    def words(self) -> str:
        """One line for people."""
        if self.chosen.changes:
            return f"use {self.chosen.options}"
        if all(comparison.gap.t_high < 0 for comparison in self.comparisons):
            return f"the default is ahead of all others: {self.chosen.options}"
        return f"nothing is told to be ahead; the default stays: {self.chosen.options}"

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "take": self.chosen.take,
            "order": self.chosen.order,
            "is_default": not self.chosen.changes,
            "words": self.words,
            "comparisons": [
                {
                    "method": comparison.candidate.method,
                    "against": comparison.stood.method,
                    "words": comparison.words,
                    **asdict(comparison.gap),
                }
                for comparison in self.comparisons
            ],
        }


def decide(accuracy: Mapping[str, NDArray[np.float64]], candidates: Sequence[Candidate] = CANDIDATES) -> Verdict:
    """accuracy: of each candidate's method, in percent, float64 [pools], entry i from the same pool and seed."""
    stands, comparisons = candidates[0], []
    for candidate in candidates[1:]:
        gap = paired_difference(accuracy[candidate.method], accuracy[stands.method])
        comparisons.append(Comparison(candidate, stands, gap))
        if gap.t_low > 0:
            stands = candidate
    return Verdict(stands, tuple(comparisons))
