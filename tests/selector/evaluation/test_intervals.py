"""Paired differences against scipy and a hand-worked case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from selector.evaluation.intervals import half_width, paired_difference


def test_the_t_interval_is_that_of_scipys_paired_test() -> None:
    draw = np.random.default_rng(0)
    ours, theirs = draw.normal(70, 1, 8), draw.normal(69, 1, 8)
    wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    found = paired_difference(ours, theirs)
    assert (found.t_low, found.t_high) == pytest.approx((wanted.low, wanted.high))
    assert found.mean == pytest.approx((ours - theirs).mean())


def test_a_difference_that_is_always_the_same_has_no_width_though_methods_vary() -> None:
    pools = np.array([60.0, 75.0, 68.0])
    found = paired_difference(pools + 2.0, pools)
    assert [found.mean, found.t_low, found.t_high, found.boot_low, found.boot_high] == pytest.approx([2.0] * 5)


def test_the_bootstrap_interval_agrees_with_scipys() -> None:
    gaps = np.random.default_rng(1).normal(1.0, 2.0, 20)
    found = paired_difference(gaps, np.zeros(20))
    wanted = stats.bootstrap((gaps,), np.mean, n_resamples=10_000, method="percentile", random_state=3)
    low, high = wanted.confidence_interval
    assert found.boot_low == pytest.approx(low, abs=0.1)
    assert found.boot_high == pytest.approx(high, abs=0.1)


def test_one_pair_has_a_difference_and_no_interval() -> None:
    found = paired_difference(np.array([3.0]), np.array([1.0]))
    assert found.mean == 2.0
    assert math.isnan(found.t_low)
    assert math.isnan(half_width(np.array([1.0])))
