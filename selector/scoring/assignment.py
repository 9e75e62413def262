"""Which class an image belongs to, by losses alone: a diffusion classifier (Li et al., arXiv 2303.16203) that stops early.

All classes get the same few draws. While a class beside the nearest could still be it, the nearer half gets twice as many, up to
the budget's most (sequential halving; Karnin et al., ICML 2013). Draws are the same for all classes, so every comparison is of
paired differences: what noise and timestep do to all losses falls out. Pure: arrays in, numbers out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

CLEAR = 2.0
"""A class is out of the question if its loss is greater by so many standard errors of the paired difference."""


@dataclass(frozen=True)
class AssignmentBudget:
    """numbers: of the draws in the bank that the nearest classes get at most. first: how many of them all classes get."""

    first: int
    numbers: tuple[int, ...]

    def after(self, draws: int) -> int:
        """How many draws the nearer half has after the next round."""
        return min(2 * draws, len(self.numbers)) if draws else self.first

    def most_unet_rows(self, classes: int) -> int:
        """UNet evaluations of an image whose nearest class stays unclear to the end."""
        draws = total = 0
        while classes > 1 and draws < len(self.numbers):
            more = self.after(draws) - draws
            total += more * evaluations(classes)
            draws, classes = draws + more, _kept(classes)
        return total


@dataclass(frozen=True)
class Assigned:
    """The class an image belongs to. margin: the second best class's loss less its own. unet_rows: UNet evaluations it took."""

    class_id: int
    margin: float
    standard_error: float
    unet_rows: int


def evaluations(classes: int) -> int:
    """UNet evaluations of one draw for so many classes: a row evaluates two, and an odd one out is evaluated beside itself."""
    return classes + classes % 2


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of an image. classes: int64 [m], those still in. losses: float64 [n, m] by the first n draws."""

    classes: NDArray[np.int64]
    losses: NDArray[np.float64]

    @classmethod
    def of(cls, classes: int) -> Standing:
        """Of an image of which nothing is known."""
        return cls(np.arange(classes), np.empty((0, classes)))

    @property
    def draws(self) -> int:
        """How many draws all classes that are still in have."""
        return len(self.losses)

    def with_draws(self, losses: NDArray[np.float64]) -> Standing:
        """With further draws of the classes that are still in: float64 [k, m]."""
        return replace(self, losses=np.concatenate([self.losses, losses]))

    def going_on(self, budget: AssignmentBudget) -> Standing | None:
        """The classes that get further draws, with what is known of them; None if the nearest is clear, or the budget spent."""
        if not self.draws:
            return self if len(self.classes) > 1 else None
        order, leads, errors = self._apart()
        if self.draws >= len(budget.numbers) or bool(np.all(leads > CLEAR * errors)):
            return None
        kept = np.sort(order[: _kept(len(self.classes))])
        return Standing(self.classes[kept], self.losses[:, kept])

    def nearest(self) -> tuple[int, float, float]:
        """The class of the least mean loss, by how much the second's is greater, and the standard error of that difference.

        Of equals the first. Among the classes that are still in; a class alone has a margin of infinity. float32 numbers, as
        they are stored, so that a bound means the same before and after.
        """
        if len(self.classes) == 1:
            return int(self.classes[0]), float("inf"), 0.0
        order, leads, errors = self._apart()
        return int(self.classes[order[0]]), float(np.float32(leads[0])), float(np.float32(errors[0]))

    def _apart(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Places by rising mean loss; of all but the first the mean of what their losses are greater by, and its standard error.

        Timesteps differ in how far apart they hold two classes. That spread counts as error, so it errs on the large side. One
        draw has an error of infinity.
        """
        order = np.argsort(self.losses.mean(axis=0), kind="stable")
        greater = self.losses[:, order[1:]] - self.losses[:, order[:1]]
        if self.draws < 2:
            return order, greater.mean(axis=0), np.full(len(order) - 1, np.inf)
        return order, greater.mean(axis=0), greater.std(axis=0, ddof=1) / np.sqrt(self.draws)


def _kept(classes: int) -> int:
    """The nearer half, at least two, and an even number, since a row holds two."""
    half = max(2, -(-classes // 2))
    return min(classes, half + half % 2)
