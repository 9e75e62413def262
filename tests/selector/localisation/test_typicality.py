"""Scoring rules and the reduction of draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from export_scripts.graphs.draw_bank import Band, make_draw_bank
from selector.localisation.typicality import RULES, reduce_deltas, rule, standard_error_of_any, window_standard_error

NAMES = (
    "null",
    "null-weighted",
    "rotating",
    "rotating-weighted",
    "rotating-brightness",
    "rotating-weighted-brightness",
)


def test_rules_are_found_by_name_and_an_unknown_one_names_the_others() -> None:
    assert tuple(RULES) == NAMES
    assert all(rule(name).name == name for name in NAMES)
    with pytest.raises(KeyError, match=r"hardest.*known: null, null-weighted"):
        rule("hardest")


def test_the_rule_of_the_paper_contrasts_with_the_null_prompt() -> None:
    assert rule("null").references(3, 10, 5).tolist() == [0] * 5
    assert rule("null").references(3, 10, 5).dtype == np.int32


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1), st.integers(1, 150))))
def test_rotating_references_are_wrong_classes_that_change_with_every_draw(case: tuple[int, int, int]) -> None:
    classes, class_id, draws = case
    references = rule("rotating").references(class_id, classes, draws)
    wrong = {c + 1 for c in range(classes)} - {class_id + 1}
    assert set(references.tolist()) <= wrong
    if classes > 2:
        assert (references[1:] != references[:-1]).all()
    for start in range(draws - len(wrong) + 1):
        assert set(references[start : start + len(wrong)].tolist()) == wrong
    assert (rule("rotating").references(class_id, classes, draws + 7)[:draws] == references).all()


def test_few_rotating_references_are_spread_over_a_long_list_of_classes() -> None:
    """Neighbours in a list of classes are often alike: eleven draws must not all meet the next eleven classes."""
    references = np.sort(rule("rotating").references(0, 1000, 11))
    assert np.diff(references).max() < 1000 / 11 * 2


def test_a_single_class_is_contrasted_with_the_null_prompt() -> None:
    assert rule("rotating").references(0, 1, 4).tolist() == [0, 0, 0, 0]


def test_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="class_id 10 is not one of 10"):
        rule("rotating").references(10, 10, 4)


@pytest.mark.parametrize("name", NAMES)
def test_only_weighted_rules_use_the_timestep_weights(name: str) -> None:
    given_weights = np.asarray([0.5, 2.0, 1.0], np.float32)
    expected = given_weights if "weighted" in name else np.ones(3)
    assert (rule(name).weights(given_weights) == expected).all()
    assert rule(name).prior == ("brightness" if name.endswith("brightness") else "none")


def test_the_reduction_is_the_weighted_mean_in_float32() -> None:
    rng = np.random.default_rng(0)
    deltas = rng.normal(size=(12, 16, 16)).astype(np.float32)
    weights = rng.uniform(0, 2, 12).astype(np.float32)
    weights[3] = 0
    reduced = reduce_deltas(deltas, weights)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, np.average(deltas.astype(np.float64), 0, weights), rtol=0, atol=1e-6)


def test_a_small_signal_survives_on_a_large_mean() -> None:
    """The bug of the field: maps rounded to half precision before they are subtracted lose the signal."""
    deltas = np.full((64, 1, 2), 100.0, np.float32)
    deltas[:, 0, 1] += 1e-3
    reduced = reduce_deltas(deltas, np.ones(64, np.float32))
    assert reduced[0, 1] - reduced[0, 0] == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0], [1.0, -1.0], [1.0, np.nan]])
def test_weights_that_can_not_be_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        reduce_deltas(np.zeros((2, 3, 3), np.float32), np.asarray(weights, np.float32))


def test_the_standard_error_of_a_hand_worked_case() -> None:
    """Pairs 0, 1, 2, 3 lie at 0, 1/2, 1/4, 3/4 of the band: groups are 0 with 3 (mean 1) and 1 with 2 (mean 3).

    The standard deviation of 1 and 3 is √2, that of their mean √2/√2 = 1.
    """
    values = np.asarray([0, 2, 3, 3, 2, 4, 1, 1], np.float32)
    assert window_standard_error(values) == pytest.approx(1.0)
    assert window_standard_error(np.stack([values, 2 * values], 1)) == pytest.approx([1.0, 2.0])


def test_in_any_other_order_each_draw_is_a_repetition() -> None:
    """1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, SE² = 14 / (3 · 4).

    1 and 5 by 3 and 1: mean 2, SE² = 2 (9/16 · 1 + 1/16 · 9).
    """
    values = np.asarray([1, 2, 3, 6], np.float32)
    assert standard_error_of_any(values) == pytest.approx((14 / 12) ** 0.5)
    assert standard_error_of_any(np.stack([values, 2 * values], 1))[1] == pytest.approx(2 * (14 / 12) ** 0.5)
    weights = np.asarray([3, 0, 0, 1], np.float32)
    spread = standard_error_of_any(np.asarray([1, 9, 9, 5], np.float32), weights)
    assert spread == pytest.approx((2 * (9 / 16 * 1 + 1 / 16 * 9)) ** 0.5)
    assert np.isnan(standard_error_of_any(values[:1]))


def test_timesteps_decide_which_pairs_form_a_group() -> None:
    """In this order pairs 0 and 1 are the earliest and the latest: their mean is 2, that of 2 and 3 is 2 as well."""
    values = np.asarray([0, 2, 3, 3, 2, 4, 1, 1], np.float32)
    assert window_standard_error(values, timesteps=np.asarray([1, 1, 9, 9, 4, 4, 5, 5])) == 0


def test_weights_weigh_draws_within_groups_and_groups_among_each_other() -> None:
    """Means 1 and 4 of weights 6 and 2: shares 3/4 and 1/4, mean 7/4, SE² = 2 (9/16 · 9/16 + 1/16 · 81/16) = 81/64."""
    values = np.asarray([1, 1, 4, 4, 9, 4, 1, 1], np.float32)
    weights = np.asarray([2, 1, 1, 0.5, 0, 0.5, 2, 1], np.float32)
    assert window_standard_error(values, weights=weights) == pytest.approx(9 / 8)


def test_the_standard_error_can_not_be_told_from_one_pair() -> None:
    assert np.isnan(window_standard_error(np.asarray([1, 2], np.float32)))
    assert np.isnan(window_standard_error(np.asarray([1], np.float32)))
    assert not np.isnan(window_standard_error(np.asarray([1, 2, 3], np.float32)))
    only_one_group_counts = np.asarray([1, 1, 0, 0, 0, 0, 1, 1], np.float32)
    assert np.isnan(window_standard_error(np.arange(8, dtype=np.float32), weights=only_one_group_counts))


def test_more_groups_than_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 pairs of draws can't form 3 groups"):
        window_standard_error(np.zeros(4, np.float32), groups=3)


def _simulated(
    draws: int, odd: float, even: float, trend: float, runs: int = 4000
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Window means [draws, runs] and timesteps of the real draw bank's design: n and −n in pairs.

    A mean is trend · t + odd · n + even · (n² − 1)/√2, with noise that grows threefold over the band.
    """
    band = Band(0.1, 0.7, 1000)
    timesteps = make_draw_bank(64, band, (1, 1, 1)).timesteps[:draws]
    t = timesteps[:, None] / band.steps
    noise = np.repeat(np.random.default_rng(draws).normal(size=(draws // 2, runs)), 2, axis=0)
    sign = np.where(np.arange(draws) % 2 == 0, 1, -1)[:, None]
    values = trend * t + (0.5 + 1.5 * t) * (odd * sign * noise + even * (noise**2 - 1) / np.sqrt(2))
    return values.astype(np.float32), timesteps


@pytest.mark.parametrize("draws", [8, 12, 16, 32])
@pytest.mark.parametrize(
    ("odd", "even", "trend"),
    [(3.0, 0.5, 1.0), (0.2, 1.0, 1.0), (1.0, 0.5, 4.0)],
    ids=["pairs cancel", "pairs agree", "steep trend"],
)
def test_the_standard_error_is_honest_where_that_of_independent_draws_is_not(
    draws: int, odd: float, even: float, trend: float
) -> None:
    """Means of the squared errors against the true variance of the mean over 4,000 banks of noise."""
    values, timesteps = _simulated(draws, odd, even, trend)
    truth = values.mean(0).var()
    ours = np.square(window_standard_error(values, timesteps=timesteps)).mean() / truth
    naive = values.var(0, ddof=1).mean() / draws / truth
    assert 0.85 < ours < 1.25
    assert naive > 2 or naive < 0.65


@pytest.mark.parametrize("draws", [8, 12, 16, 32])
def test_without_timesteps_the_standard_error_errs_on_the_large_side(draws: int) -> None:
    values, _ = _simulated(draws, odd=1.0, even=0.5, trend=4.0)
    ours = np.square(window_standard_error(values)).mean() / values.mean(0).var()
    assert 0.9 < ours < 2.5
