"""Typicality: scoring rules as named strategies, and the reduction of delta maps over draws.

A draw's delta is loss(reference) − loss(prompt) of one (timestep, noise) pair; with reference 0 its mean over draws is
the typicality of Siglidis et al. (arXiv 2307.05473), T(x|c) = E[L_t(x, ε, ∅) − L_t(x, ε, c)]. With a wrong class as the
reference it is a contrast of two classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

DRAWS_PER_GROUP = 4
"""Draws of one balanced group: two antithetic pairs, one of an early and one of a late timestep."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class ScoringRule:
    """What a class is contrasted with, how draws are weighted, and the label-free prior of its windows.

    reference: "null" takes prompt 0 (the paper's rule), "rotating" another wrong class in every draw.
    weighted: draws are weighted by the repository's timestep weights. prior: "brightness" adds the z-score of
    a window's brightness.
    """

    name: str
    reference: Literal["null", "rotating"]
    weighted: bool
    prior: Literal["none", "brightness"]

    def references(self, class_id: int, classes: int, draws: int) -> NDArray[np.int32]:
        """Prompt ids to contrast the class with, int32 [draws]: 0 is the null prompt, c + 1 is class c.

        Rotating references step through the wrong classes by a stride coprime to their number n and near n ×
        the golden ratio. So consecutive draws differ, any n consecutive draws meet each wrong class once, few
        draws are spread over the whole list (neighbours in a list of classes are often alike), and fewer
        draws are a prefix of more. With one class there is no wrong one: the null prompt is used.
        """
        if not 0 <= class_id < classes:
            raise ValueError(f"class_id {class_id} is not one of {classes} classes")
        wrong = classes - 1
        if self.reference == "null" or wrong == 0:
            return np.zeros(draws, np.int32)
        offset = 1 + (np.arange(draws, dtype=np.int64) * _stride(wrong)) % wrong
        return ((class_id + offset) % classes + 1).astype(np.int32)

    def weights(self, timestep_weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weight of each draw, float32 [draws]: the given ones, or ones if the rule is unweighted."""
        given = np.asarray(timestep_weights, np.float32)
        return given if self.weighted else np.ones_like(given)


@lru_cache
def _stride(wrong: int) -> int:
    """The number coprime to `wrong` nearest to wrong × golden ratio, the smaller one of two."""
    target = wrong * _GOLDEN
    return min((s for s in range(1, wrong + 1) if gcd(s, wrong) == 1), key=lambda s: (abs(s - target), s))


RULES: Mapping[str, ScoringRule] = MappingProxyType(
    {
        r.name: r
        for r in (
            ScoringRule("null", "null", False, "none"),
            ScoringRule("null-weighted", "null", True, "none"),
            ScoringRule("rotating", "rotating", False, "none"),
            ScoringRule("rotating-weighted", "rotating", True, "none"),
            ScoringRule("rotating-brightness", "rotating", False, "brightness"),
            ScoringRule("rotating-weighted-brightness", "rotating", True, "brightness"),
        )
    }
)


def rule(name: str) -> ScoringRule:
    """The scoring rule of this name; raises KeyError whose first argument names the known ones."""
    if name not in RULES:
        raise KeyError(f"there is no scoring rule {name!r}; known: {', '.join(RULES)}")
    return RULES[name]


def reduce_deltas(deltas: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted mean over draws, float32 [h, w], accumulated in draw order (West 1979, Commun. ACM 22(9)).

    deltas: float32 [draws, h, w] in draw order. weights: float32 [draws], not negative, not all 0. Raises
    ValueError.
    """
    if len(deltas) != len(weights) or len(deltas) == 0:
        raise ValueError(f"{len(deltas)} deltas and {len(weights)} weights: need equally many, at least one")
    mean, total = np.zeros(deltas.shape[1:], np.float32), np.float32(0)
    for delta, weight in zip(np.asarray(deltas, np.float32), np.asarray(weights, np.float32), strict=True):
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"a draw's weight must be finite and not negative, not {weight}")
        if weight > 0:
            total = total + weight
            mean = mean + (delta - mean) * (weight / total)
    if total == 0:
        raise ValueError("no draw has a positive weight")
    return mean


def window_standard_error(
    per_draw_window_means: NDArray[np.float32],
    groups: int | None = None,
    weights: NDArray[np.float32] | None = None,
    timesteps: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Standard error of the weighted mean over draws, float32 of the trailing shape; NaN if it can't be told.

    per_draw_window_means: [draws] or [draws, ...] in draw order, where draws 2k and 2k + 1 share a timestep and have
    opposite noises. groups: number of groups, by default one for every DRAWS_PER_GROUP draws. weights: [draws], by
    default all 1. timesteps: [draws]; by default pairs are taken to be in bit-reversed (van der Corput) order.

    Such draws are not independent, so s/√n is wrong: it counts the spread over timesteps, which is no error, and misses
    how pairs cancel or agree. Groups of whole pairs, early with late timesteps, are close to independent repetitions of
    the design: with G groups of weight share p_g and mean m_g, SE² = G/(G−1) Σ p_g² (m_g − m)². A linear trend over
    timesteps cancels within groups; a curved one is counted, so the error errs on the large side. With fewer than 8
    draws pairs are groups, which counts all of the trend; with fewer than two groups of positive weight it is NaN.
    """
    values = np.asarray(per_draw_window_means, np.float64)
    w = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    if len(w) != len(values) or (timesteps is not None and len(timesteps) != len(values)):
        raise ValueError(f"{len(values)} draws need as many weights and timesteps")
    members = _balanced_groups(len(values), groups, timesteps)
    group_weight = members @ w
    members, group_weight = members[group_weight > 0], group_weight[group_weight > 0]
    count = len(group_weight)
    if count < 2:
        return np.full(values.shape[1:], np.nan, np.float32)
    column = (-1,) + (1,) * (values.ndim - 1)
    means = np.tensordot(members, values * w.reshape(column), 1) / group_weight.reshape(column)
    share = (group_weight / group_weight.sum()).reshape(column)
    mean = (share * means).sum(0)
    squared = count / (count - 1) * (share**2 * (means - mean) ** 2).sum(0)
    return np.asarray(np.sqrt(squared), np.float32)


def standard_error_of_any(
    values: NDArray[np.float32], weights: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Standard error of the weighted mean over draws in any order, float32 of the trailing shape; NaN for fewer than two.

    values: [draws] or [draws, ...]. A chosen order has no pairs and no balance to count on, so each draw counts as a repetition:
    SE² = n/(n−1) Σ p² (v − m)² with shares p of weight. The spread over timesteps and references is in it, so it errs on the
    large side; `selector calibrate` prints how often the interval of Student's t covers the mean over all draws.
    """
    exact = np.asarray(values, np.float64)
    given = np.ones(len(exact)) if weights is None else np.asarray(weights, np.float64)
    exact, given = exact[given > 0], given[given > 0]
    count = len(exact)
    if count < 2:
        return np.full(exact.shape[1:], np.nan, np.float32)
    share = (given / given.sum()).reshape((-1,) + (1,) * (exact.ndim - 1))
    mean = (share * exact).sum(0)
    squared = count / (count - 1) * (share**2 * (exact - mean) ** 2).sum(0)
    return np.asarray(np.sqrt(squared), np.float32)


def _balanced_groups(draws: int, groups: int | None, timesteps: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Membership 0 or 1, [groups, draws]: pairs are dealt in timestep order to and fro, so first and last meet."""
    pairs = -(-draws // 2)
    count = draws // DRAWS_PER_GROUP if groups is None else groups
    if groups is None and count < 2:
        count = pairs
    if not 0 <= count <= pairs:
        raise ValueError(f"{pairs} pairs of draws can't form {groups} groups")
    if count == 0:
        return np.zeros((0, draws))
    position = [_van_der_corput(k) for k in range(pairs)] if timesteps is None else timesteps[::2]
    turn = np.arange(pairs) % (2 * count)
    group_of_pair = np.empty(pairs, np.int64)
    group_of_pair[np.argsort(position, kind="stable")] = np.minimum(turn, 2 * count - 1 - turn)
    return np.asarray(np.repeat(group_of_pair, 2)[:draws] == np.arange(count)[:, None], np.float64)


def _van_der_corput(index: int) -> float:
    """The index's binary digits mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8, …"""
    return int(f"{index:b}"[::-1], 2) / (1 << index.bit_length()) if index else 0.0
