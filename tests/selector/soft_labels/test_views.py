"""Views: within the picture, of the share of its area that was asked for, always the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selector.records import Box
from selector.soft_labels.views import View, drawn, middle, seen

SIDES = st.integers(1, 500)


@given(SIDES, SIDES, st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 2**64 - 1), st.integers(0, 100))
def test_a_view_lies_in_its_picture(height: int, width: int, one: float, other: float, image: int, number: int) -> None:
    area = (min(one, other), max(one, other))
    box = drawn(height, width, area, (0, image, 0, number)).box
    assert box.top >= 0
    assert box.left >= 0
    assert 1 <= box.height <= height - box.top
    assert 1 <= box.width <= width - box.left


def test_views_show_the_share_of_the_area_that_was_asked_for_and_half_of_them_are_mirrored() -> None:
    views = [drawn(200, 300, (0.2, 0.5), (0, 1, 2, number)) for number in range(2000)]
    shares = np.array([view.box.height * view.box.width / 60_000 for view in views])
    ratios = np.array([view.box.width / view.box.height for view in views])
    assert 0.19 < shares.min() < 0.22
    assert 0.48 < shares.max() < 0.51
    assert ratios.min() > 0.74
    assert ratios.max() < 1.35
    assert 0.45 < np.mean([view.mirrored for view in views]) < 0.55


def test_the_middle_is_the_greatest_square() -> None:
    assert middle(70, 91) == View(Box(0, 10, 70, 70), mirrored=False)


def test_a_mirrored_view_is_mirrored_once_it_is_cut() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    cut = seen(picture, View(Box(0, 2, 4, 4), mirrored=True), 4)
    assert np.array_equal(cut, picture[:, 2:6][:, ::-1])
