"""Centred windows: towards what stands out, never far, never outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.evaluation.centring import centred
from selector.records import Box


def scene(top: int, left: int, *, ground: int, item: int) -> NDArray[np.uint8]:
    """A flat 64 × 64 image with a flat 14 px square."""
    image = np.full((64, 64, 3), ground, dtype=np.uint8)
    image[top : top + 14, left : left + 14] = item
    return image


@pytest.mark.parametrize(("ground", "item"), [(0, 200), (220, 30)])
def test_a_window_that_is_off_by_less_than_its_reach_is_put_over_the_item(ground: int, item: int) -> None:
    """The square's centre is (27, 37), so a 28 px window belongs at (13, 23), whether the item is bright or dark."""
    image = scene(20, 30, ground=ground, item=item)
    assert centred(image, Box(10, 26, 28, 28)) == Box(13, 23, 28, 28)
    assert centred(image, Box(13, 23, 28, 28)) == Box(13, 23, 28, 28)


def test_a_window_moves_by_a_seventh_of_its_side_at_most() -> None:
    assert centred(scene(20, 30, ground=0, item=200), Box(7, 36, 28, 28)) == Box(11, 32, 28, 28)


def test_a_flat_window_stays_where_it_is() -> None:
    assert centred(scene(0, 0, ground=90, item=90), Box(5, 9, 28, 28)) == Box(5, 9, 28, 28)


@given(seed=st.integers(0, 99), top=st.integers(0, 20), left=st.integers(0, 12), side=st.integers(1, 20))
def test_centred_windows_keep_their_size_and_stay_inside_the_image(seed: int, top: int, left: int, side: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (40, 32, 3)).astype(np.uint8)
    box = centred(image, Box(top, left, side, side))
    assert (box.height, box.width) == (side, side)
    assert 0 <= box.top <= 40 - side
    assert 0 <= box.left <= 32 - side
    assert max(abs(box.top - top), abs(box.left - left)) <= round(side / 7)
