"""An order of draws in which the first few agree, as well as few can, with all of them.

An image's *agreement* is the correlation, over its windows, of the mean over some draws with the mean over all draws. No true
position enters, so it can be had for any images and any pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selector.localisation.typicality import ScoringRule, standard_error_of_any
from selector.localisation.windows import WindowGrid, window_means

_SWEEPS = 20
_HELD_OUT = 3  # one of so many images
_RESAMPLES = 1000


@dataclass(frozen=True)
class Agreements:
    """What agreement is computed from, of n images and K draws, without their windows.

    products: float64 [n, K, K], of the draws' window means. shares: float64 [n, K], of the draws' with the mean over all draws at
    unit length. Window means are taken from their mean over the image's windows.
    """

    products: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, images: Sequence[NDArray[np.float32]]) -> Agreements:
        """images: the weighted window means of an image's draws, float32 [K, windows] each. One that is flat is left out."""
        products, shares = [], []
        for windows in images:
            centred = np.asarray(windows, np.float64) - windows.mean(axis=1, keepdims=True, dtype=np.float64)
            target = centred.mean(axis=0)
            length = float(np.linalg.norm(target))
            if length > 0:
                products.append(centred @ centred.T)
                shares.append(centred @ (target / length))
        if not products:
            raise ValueError("there is no image in which a draw tells one window from another")
        return cls(np.stack(products), np.stack(shares))

    def only(self, images: NDArray[np.bool_]) -> Agreements:
        """Those of some images."""
        return Agreements(self.products[images], self.shares[images])

    def agreement(self, draws: Sequence[int]) -> NDArray[np.float64]:
        """Of each image, float64 [n]: correlation of the mean over these draws with the mean over all; 0 where that is flat."""
        taken = list(draws)
        lengths = np.sqrt(np.maximum(self.products[:, taken][:, :, taken].sum(axis=(1, 2)), 0))
        along = self.shares[:, taken].sum(axis=1)
        found: NDArray[np.float64] = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0)
        return found

    def with_each(self, draws: Sequence[int]) -> NDArray[np.float64]:
        """The mean agreement over the images of these draws and one more, for each draw of the bank: float64 [K]."""
        taken = list(draws)
        inner = self.products[:, taken][:, :, taken].sum(axis=(1, 2))[:, None]
        squared = inner + 2 * self.products[:, taken].sum(axis=1) + np.einsum("nkk->nk", self.products)
        along = self.shares[:, taken].sum(axis=1)[:, None] + self.shares
        lengths = np.sqrt(np.maximum(squared, 0))
        each = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0)
        found: NDArray[np.float64] = each.mean(axis=0)
        found[taken] = -np.inf
        return found


def contrasted(
    rule: ScoringRule, class_ids: Sequence[int], classes: int, draws: int, *, turning: bool, first: int = 0
) -> NDArray[np.int32]:
    """Rows of the prompt table to contrast with, int32 [n, draws].

    turning: image k starts its references first + k later, so that over the images every draw meets all of them. Draws that
    were made for their places keep the reference of their place.
    """
    turns = enumerate(class_ids, first) if turning else ((0, class_id) for class_id in class_ids)
    return np.stack([rule.references(class_id, classes, draws + turn)[turn:] for turn, class_id in turns])


def weighted_windows(
    deltas: NDArray[np.float32], weights: NDArray[np.float32], grid: WindowGrid
) -> NDArray[np.float32]:
    """An image's delta maps [K, h, w] → what its draws add to the mean of each window, [K, windows]. weights: [K]."""
    return weights[:, None] * window_means(deltas, grid).reshape(len(deltas), -1)


def chosen_order(agreements: Agreements) -> tuple[int, ...]:
    """All draws: each is the one that agrees most beside those before it, and at powers of two the newest are exchanged.

    An exchange takes the place of a draw behind the last power of two, so that fewer draws stay a prefix of more, and is made
    while it raises the agreement. Of equals the first of the bank is taken.
    """
    count = agreements.shares.shape[1]
    order: list[int] = []
    settled = 0
    while len(order) < count:
        order.append(int(agreements.with_each(order).argmax()))
        size = len(order)
        if size & (size - 1) == 0:
            _exchange(agreements, order, settled)
            settled = size
    return tuple(order)


def _exchange(agreements: Agreements, order: list[int], settled: int) -> None:
    """Draws from `settled` on are exchanged for better ones, until none is."""
    best = float(agreements.agreement(order).mean())
    for _ in range(_SWEEPS):
        before = best
        for place in range(settled, len(order)):
            others = order[:place] + order[place + 1 :]
            found = agreements.with_each(others)
            candidate = int(found.argmax())
            if found[candidate] > best + 1e-12:
                order[place], best = candidate, float(found[candidate])
        if best == before:
            return


@dataclass(frozen=True)
class Step:
    """How well the first `draws` draws agree with all of the bank, on held-out images: mean, and its 95 % bootstrap interval.

    bank_order: the mean for as many draws in the bank's own order. coverage: share of held-out images in which the 95 % interval
    of Student's t about the best window's typicality, by its standard error, holds the one by all draws; None for one draw.
    """

    draws: int
    agreement: float
    low: float
    high: float
    bank_order: float
    coverage: float | None


@dataclass(frozen=True)
class Calibration:
    """order: all draws. steps: by number of draws. wanted: the agreement asked for. enough: the least number of draws that has
    it. rule: by which windows were judged. chosen_on, held_out: images.
    """

    order: tuple[int, ...]
    steps: tuple[Step, ...]
    wanted: float
    enough: int
    rule: str
    chosen_on: int
    held_out: int


def judged(
    windows: list[NDArray[np.float32]], wanted: float, rule: str, given: tuple[int, ...] | None = None
) -> Calibration:
    """The order chosen on two of three images, and its agreement on the others. windows: see `Agreements.of`.

    given: an order that stands already; then all images judge it.

    Raises ValueError if all images of a part are flat, or there are fewer than three.
    """
    held = np.random.default_rng(0).permutation(len(windows)) < len(windows) // _HELD_OUT
    others = [w for w, out in zip(windows, held, strict=True) if out or given is not None]
    chosen_on = 0
    if given is None:
        agreements = Agreements.of([w for w, out in zip(windows, held, strict=True) if not out])
        chosen_on, given = len(agreements.shares), chosen_order(agreements)
    held_out, order = Agreements.of(others), given
    best = np.stack([one[:, one.mean(axis=0).argmax()] for one in others])
    steps = tuple(_step(held_out, best, order, draws) for draws in range(1, len(order) + 1))
    enough = next(step.draws for step in steps if step.agreement >= wanted)  # all of them agree by 1
    return Calibration(order, steps, wanted, enough, rule, chosen_on, len(held_out.shares))


def _step(held_out: Agreements, best: NDArray[np.float32], order: tuple[int, ...], draws: int) -> Step:
    """best: [n, K], what each draw gives to the typicality of an image's best window."""
    own, taken = held_out.agreement(order[:draws]), order[:draws]
    low, high = bootstrapped(own, draws)
    bank = held_out.agreement(range(draws)).mean()
    mean, low, high, bank = (round(float(value), 4) for value in (own.mean(), low, high, bank))
    return Step(draws, mean, low, high, bank, _coverage(best, taken))


def bootstrapped(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean over images, by resampling them."""
    picked = np.random.default_rng(seed).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[picked].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _coverage(best: NDArray[np.float32], draws: tuple[int, ...]) -> float | None:
    if len(draws) < 2:
        return None
    values = best[:, list(draws)].T
    reach = stats.t.ppf(0.975, len(draws) - 1) * standard_error_of_any(values)
    return round(float((np.abs(values.mean(0) - best.mean(1)) <= reach).mean()), 3)
