"""Intervals by resampling images, or items with all their images."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.localisation.intervals import interval


def test_images_on_their_own_are_as_many_items() -> None:
    values = np.random.default_rng(0).random(50)
    assert interval(values, np.arange(50)) == interval(values)


def test_images_that_repeat_an_item_make_no_interval_narrower() -> None:
    values = np.random.default_rng(0).random(50)
    repeated, items = np.repeat(values, 20), np.repeat(np.arange(50), 20)
    assert interval(repeated, items) == pytest.approx(interval(values))
    low, high = interval(repeated)
    assert high - low < 0.5 * np.ptp(interval(values))
