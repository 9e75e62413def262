"""Whether the teacher's classes stand in the order that is claimed: the commonest silent failure of soft labels.

The teacher is asked about labelled pictures, and the claim is compared with other orders: those that teachers are seen to have,
and the best assignment of classes to outputs (Kuhn's Hungarian method), as far as two halves of the pictures give the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.errors import MismatchError
from selector.soft_labels.classes import Columns

_UNLIKELY = 0.01
"""Of the sign test: how often an assignment that is no better is ahead by so many pictures."""
_SHOWN = 5


@dataclass(frozen=True)
class Sample:
    """What a teacher says of labelled pictures.

    truth: int64 [n], their classes of the data. said: int64 [n], the greatest of all outputs. told: what the pictures are.
    """

    truth: NDArray[np.int64]
    said: NDArray[np.int64]
    told: str

    def accuracy(self, columns: Columns) -> float:
        """The share whose greatest output is that of its class."""
        return float(np.mean(self.said == columns[self.truth]))


def check_order(
    sample: Sample,
    columns: Columns,
    others: Mapping[str, Columns],
    least_accuracy: float,
    claim: str,
    data: Sequence[str],
    outputs: Sequence[str],
) -> float:
    """The accuracy under the claimed columns; raises MismatchError where another order fits better, or it is below the least.

    others: further orders by name. claim: who claims the columns. data, outputs: the classes' and the outputs' names.
    """
    accuracy = sample.accuracy(columns)
    right = f"the teacher is right on {accuracy:.1%} of {len(sample.truth)} {sample.told} as {claim} has its classes"
    remedy = "name them in its own order (--teacher-classes FILE)"
    name, best = max(others.items(), key=lambda pair: sample.accuracy(pair[1]), default=("", columns))
    if sample.accuracy(best) > accuracy:
        raise MismatchError(
            f"{right}, and on {sample.accuracy(best):.1%} with another order: {name}. Its classes stand in another order than is "
            f"claimed: {remedy}"
        )
    found = _found(sample, columns, len(outputs))
    if found is not None:
        moved = [f"{data[n]} is called {outputs[found[n]]}" for n in np.flatnonzero(found != columns)]
        more = f"; and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        raise MismatchError(
            f"{right}, and on {sample.accuracy(found):.1%} with another order, the best that both halves of them give: "
            f"{'; '.join(moved[:_SHOWN])}{more}. Its classes stand in another order than is claimed: {remedy}; or let it be "
            "checked on more pictures (--check DATA)"
        )
    if accuracy < least_accuracy:
        raise MismatchError(
            f"{right}; needed: {least_accuracy:.0%}, and no other order by names or by index fits better. If the input is right "
            "(--input-side, --mean, --std) and the teacher is no better here, lower --least-accuracy; --check DATA checks it "
            "on other pictures"
        )
    return accuracy


def _found(sample: Sample, columns: Columns, outputs: int) -> Columns | None:
    """The claimed columns with those moved that both halves of the pictures and most pictures of these classes say otherwise.

    None if that gains nothing. A class that is often taken for a like one, as breeds are, is no class in another place: a class
    moves only where no other class stays.
    """
    half = _halves(sample.truth)
    first, second = (_assignment(sample, half == own, columns, outputs) for own in (0, 1))
    owner = np.full(outputs, -1)
    owner[columns] = np.arange(len(columns))
    moved = (first == second) & (first != columns)
    while (taken := moved & (owner[first] >= 0) & ~moved[owner[first]]).any():
        moved &= ~taken
    found = np.where(moved, first, columns)
    right, claimed = sample.said == found[sample.truth], sample.said == columns[sample.truth]
    gained, lost = int(np.sum(right & ~claimed)), int(np.sum(claimed & ~right))
    if 2 * gained <= np.sum(moved[sample.truth]) or _by_chance(gained, gained + lost) >= _UNLIKELY:
        return None
    return found


def _halves(truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [n] of 0 and 1: every other picture of each class."""
    order = np.argsort(truth, kind="stable")
    first = np.searchsorted(truth[order], truth[order])
    half = np.empty(len(truth), dtype=np.int64)
    half[order] = (np.arange(len(truth)) - first) % 2
    return half


def _assignment(sample: Sample, rows: NDArray[np.bool_], columns: Columns, outputs: int) -> Columns:
    """The columns, each another's, that are right on most of these rows; the claimed one where they say nothing else."""
    from scipy.optimize import linear_sum_assignment

    votes = np.zeros((len(columns), outputs))
    np.add.at(votes, (sample.truth[rows], sample.said[rows]), 1.0)
    votes[np.arange(len(columns)), columns] += 0.5
    found: Columns = linear_sum_assignment(votes, maximize=True)[1].astype(np.int64)
    return found


def _by_chance(gained: int, all_: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(gained, all_, 0.5, alternative="greater").pvalue)
