"""Which --take and --order to use, by what students of each knew. Pure: accuracies by pool in, a verdict in plain words out.

The rule, two questions one after the other, each answered by the 95 % t interval of a difference that is paired by pool:

1. take: the other take replaces the default one if it is ahead over both orders together.
2. order, within that take: random replaces the default order if it is ahead.

Ahead means that the interval lies above 0. Else the default stays; it also stays if it is ahead of what these answers give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.config import TAKE, ExportConfig
from selector.evaluation.intervals import Difference, paired_difference
from selector.selection.ordering import DEFAULT_ORDER


@dataclass(frozen=True)
class Choice:
    """What is handed out, and in which order."""

    take: str
    order: str

    @property
    def options(self) -> str:
        """As one writes it on a command line."""
        return f"--take {self.take} --order {self.order}"


RANDOM = "random"
DEFAULT = Choice(ExportConfig.take, DEFAULT_ORDER)
METHODS: Mapping[Choice, str] = MappingProxyType(
    {
        Choice("patch", DEFAULT_ORDER): DEFAULT_ORDER,
        Choice("image", DEFAULT_ORDER): f"{DEFAULT_ORDER}+whole",
        Choice("patch", RANDOM): "window-random",
        Choice("image", RANDOM): "random-image",
    }
)
"""The method of the evaluation that each choice is."""
_TAKES = {"patch": "patches", "image": "whole images"}


@dataclass(frozen=True)
class Comparison:
    """What is asked, as "these against those", and the answer in points."""

    asked: str
    gap: Difference

    @property
    def told(self) -> str:
        """The answer in words."""
        return "ahead" if self.gap.t_low > 0 else "behind" if self.gap.t_high < 0 else "no difference told"

    @property
    def words(self) -> str:
        """One line for people."""
        return f"{self.asked}: {self.gap.mean:+.1f} points [{self.gap.t_low:.1f}, {self.gap.t_high:.1f}], {self.told}"


@dataclass(frozen=True)
class Verdict:
    """What to use, and the comparisons that led there."""

    choice: Choice
    comparisons: tuple[Comparison, ...]

    @property
    def words(self) -> str:
        """One line for people."""
        if self.choice != DEFAULT:
            return f"use {self.choice.options}"
        if all(comparison.told == "behind" for comparison in self.comparisons):
            return f"the default is ahead: {DEFAULT.options}"
        return f"nothing is told to be ahead of the default, which stays: {DEFAULT.options}"

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "take": self.choice.take,
            "order": self.choice.order,
            "is_default": self.choice == DEFAULT,
            "words": self.words,
            "comparisons": [
                {
                    "asked": comparison.asked,
                    "told": comparison.told,
                    "words": comparison.words,
                    **asdict(comparison.gap),
                }
                for comparison in self.comparisons
            ],
        }


def decide(accuracy: Mapping[str, NDArray[np.float64]]) -> Verdict:
    """accuracy: of each method of METHODS, in percent, float64 [pools], entry i from the same pool and seed."""
    of = {choice: accuracy[method] for choice, method in METHODS.items()}
    other = next(take for take in TAKE if take != DEFAULT.take)
    by_take = {take: np.mean([of[Choice(take, order)] for order in (DEFAULT_ORDER, RANDOM)], axis=0) for take in TAKE}
    take = Comparison(
        f"{_TAKES[other]} against {_TAKES[DEFAULT.take]}, both orders together",
        paired_difference(by_take[other], by_take[DEFAULT.take]),
    )
    taken = other if take.told == "ahead" else DEFAULT.take
    order = Comparison(
        f"order {RANDOM} against {DEFAULT_ORDER}, {_TAKES[taken]}",
        paired_difference(of[Choice(taken, RANDOM)], of[Choice(taken, DEFAULT_ORDER)]),
    )
    choice = Choice(taken, RANDOM if order.told == "ahead" else DEFAULT_ORDER)
    if choice == DEFAULT:
        return Verdict(choice, (take, order))
    last = Comparison(f"{choice.options} against the default", paired_difference(of[choice], of[DEFAULT]))
    return Verdict(DEFAULT if last.told == "behind" else choice, (take, order, last))
