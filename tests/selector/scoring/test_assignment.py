"""Which classes go on and which one is nearest: against plain loops over the same numbers."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selector.scoring.assignment import CLEAR, AssignmentBudget, Standing, evaluations

LOSSES = st.tuples(st.integers(1, 9), st.integers(2, 9)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 4, width=16))
)


def plain_nearest(losses: list[list[float]]) -> tuple[int, float, float]:
    """Class, margin and standard error by the definitions, a number at a time."""
    means = [math.fsum(column) / len(column) for column in zip(*losses, strict=True)]
    ranked = sorted(range(len(means)), key=lambda c: (means[c], c))
    best, second = ranked[:2]
    differences = [draw[second] - draw[best] for draw in losses]
    if len(differences) == 1:
        return best, differences[0], math.inf
    return best, statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


@given(LOSSES)
def test_the_nearest_class_its_margin_and_its_error_are_those_of_the_paired_differences(losses: np.ndarray) -> None:
    standing = Standing.of(losses.shape[1]).with_draws(losses)
    class_id, margin, error = standing.nearest()
    _, expected, _ = plain_nearest(losses.tolist())
    assert math.isclose(losses[:, class_id].mean(), losses.mean(axis=0).min(), abs_tol=1e-12)
    assert margin == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert margin >= 0
    assert (error == math.inf) == (len(losses) == 1)


def test_a_worked_case() -> None:
    """Means 2, 3, 9; the second is greater by 0, 1, 2: mean 1, deviation 1, by three draws 1/√3."""
    losses = np.array([[1.0, 1.0, 9.0], [2.0, 3.0, 9.0], [3.0, 5.0, 9.0]])
    assert Standing.of(3).with_draws(losses).nearest() == (0, 1.0, pytest.approx(3**-0.5))


def test_of_equal_classes_the_first_is_nearest_and_the_margin_is_nothing() -> None:
    assert Standing.of(3).with_draws(np.ones((4, 3))).nearest() == (0, 0.0, 0.0)


@given(LOSSES, st.integers(1, 4), st.integers(1, 9))
def test_whoever_goes_on_is_nearer_than_whoever_does_not(losses: np.ndarray, first: int, most: int) -> None:
    """Brute force over all classes: none that is left behind has a smaller mean, and the half is even."""
    standing, count = Standing.of(losses.shape[1]).with_draws(losses), losses.shape[1]
    on = standing.going_on(AssignmentBudget(first, tuple(range(most))))
    best, *_ = plain_nearest(losses.tolist())
    means = losses.mean(axis=0)
    if on is None:
        by_pairs = [plain_nearest(losses[:, [best, other]].tolist()) for other in range(count) if other != best]
        clear = all(margin > CLEAR * error - 1e-9 for _, margin, error in by_pairs if error < math.inf)
        assert len(losses) >= most or (clear and len(losses) > 1)
        return
    left = set(range(count)) - set(on.classes.tolist())
    assert len(on.classes) == min(count, max(2, 2 * math.ceil(math.ceil(count / 2) / 2)))
    assert all(means[kept] <= means[gone] for kept, gone in itertools.product(on.classes, left))
    assert np.array_equal(on.losses, losses[:, on.classes])


def simulated(table: np.ndarray, budget: AssignmentBudget) -> tuple[int, int, Standing]:
    """Class, evaluations and last standing of an image whose losses [draws, classes] are known."""
    standing, spent = Standing.of(table.shape[1]), 0
    while (on := standing.going_on(budget)) is not None:
        numbers = budget.numbers[on.draws : budget.after(on.draws)]
        spent += len(numbers) * evaluations(len(on.classes))
        standing = on.with_draws(table[np.ix_(numbers, on.classes)])
    return standing.nearest()[0], spent, standing


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 10, 101])
@pytest.mark.parametrize(("first", "most"), [(1, 1), (1, 8), (2, 16), (4, 32), (3, 32), (32, 32)])
def test_an_image_costs_at_most_what_the_budget_says_and_equal_classes_cost_all_of_it(
    classes: int, first: int, most: int
) -> None:
    budget = AssignmentBudget(first, tuple(range(most)))
    class_id, spent, standing = simulated(np.ones((most, classes)), budget)
    assert (class_id, spent) == (0, budget.most_unet_rows(classes))
    assert standing.draws == (most if classes > 1 else 0)
    apart = np.arange(classes) + np.random.default_rng(0).normal(0, 1e-3, (most, classes))
    assert (
        simulated(apart, budget)[:2] == (0, evaluations(classes) * min(max(first, 2), most) if classes > 1 else 0)
        or first == 1
    )


def test_a_class_far_away_is_told_by_the_first_draws_and_close_ones_get_all() -> None:
    rng, budget = np.random.default_rng(0), AssignmentBudget(4, tuple(range(32)))
    noise = rng.normal(0, 1, (32, 1)) + rng.normal(0, 0.01, (32, 10))
    far = noise + np.array([5, 5, 5, 0, *[5] * 6])
    close = noise + np.array([5, 5, 5, 0, 0.0001, *[5] * 5])
    assert simulated(far, budget)[:2] == (3, 40)
    class_id, spent, standing = simulated(close, budget)
    assert (class_id in (3, 4), standing.draws, sorted(standing.classes.tolist())) == (True, 32, [3, 4])
    assert spent == 4 * 10 + 4 * 6 + 8 * 4 + 16 * 2 == budget.most_unet_rows(10)


def test_the_same_noise_for_all_classes_decides_what_other_noises_would_hide() -> None:
    """Losses differ a hundred times more between draws than between classes."""
    rng = np.random.default_rng(1)
    paired = rng.normal(0, 1, (8, 1)) + np.array([0.0, 0.01]) + rng.normal(0, 1e-4, (8, 2))
    assert simulated(paired, AssignmentBudget(4, tuple(range(8))))[:2] == (0, 8)
