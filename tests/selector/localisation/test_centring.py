"""Centred windows: towards what stands out, never far, never outside, never onto another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.images.canvas import fit
from selector.localisation.centring import CONTRAST, NONE, centred, contrast, placement
from selector.records import Box


def scene(top: int, left: int, *, ground: int, item: int) -> NDArray[np.uint8]:
    """A flat 64 × 64 image with a flat 14 px square."""
    image = np.full((64, 64, 3), ground, dtype=np.uint8)
    image[top : top + 14, left : left + 14] = item
    return image


def shared(one: Box, other: Box) -> int:
    """Pixels of both, counted."""
    canvas = np.zeros((2, 64, 64), np.int64)
    for layer, box in zip(canvas, (one, other), strict=True):
        layer[box.top : box.top + box.height, box.left : box.left + box.width] = 1
    return int(canvas.prod(axis=0).sum())


@pytest.mark.parametrize(("ground", "item"), [(0, 200), (220, 30)])
def test_a_window_that_is_off_by_less_than_its_reach_is_put_over_the_item(ground: int, item: int) -> None:
    """The square's centre is (27, 37), so a 28 px window belongs at (13, 23), whether the item is bright or dark."""
    apart = contrast(scene(20, 30, ground=ground, item=item))
    assert centred(apart, Box(10, 26, 28, 28)) == Box(13, 23, 28, 28)
    assert centred(apart, Box(13, 23, 28, 28)) == Box(13, 23, 28, 28)


def test_a_window_moves_by_a_seventh_of_its_side_at_most() -> None:
    apart = contrast(scene(20, 30, ground=0, item=200))
    assert centred(apart, Box(7, 36, 28, 28)) == Box(11, 32, 28, 28)


def test_a_flat_window_stays_where_it_is() -> None:
    assert centred(contrast(scene(0, 0, ground=90, item=90)), Box(5, 9, 28, 28)) == Box(5, 9, 28, 28)


@given(seed=st.integers(0, 99), top=st.integers(0, 20), left=st.integers(0, 12), side=st.integers(1, 20))
def test_centred_windows_keep_their_size_and_stay_inside_the_image(seed: int, top: int, left: int, side: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (40, 32, 3)).astype(np.uint8)
    box = centred(contrast(image), Box(top, left, side, side))
    assert (box.height, box.width) == (side, side)
    assert 0 <= box.top <= 40 - side
    assert 0 <= box.left <= 32 - side
    assert max(abs(box.top - top), abs(box.left - left)) <= round(side / 7)


def test_bars_of_a_letterboxed_canvas_are_neither_entered_nor_taken_for_ground() -> None:
    """A panorama of bright ground with a dark square at its upper edge, half of the canvas being black bars: their grey is
    not the image's, and the window must not follow the square out of the picture."""
    canvas, mapping = fit(scene(0, 30, ground=220, item=30)[:24], 64, "pad")
    valid = mapping.valid
    assert (valid.top, valid.height) == (20, 24)
    place = placement(CONTRAST, canvas, valid)
    assert place is not None
    assert place(Box(20, 24, 20, 20), ()) == Box(20, 27, 20, 20), "up is no room, the square's middle is at 37"
    assert contrast(canvas, valid)[40, 5] == 0, "its ground is what it mostly shows"


def test_without_centring_there_is_nothing_to_place() -> None:
    assert placement(NONE, scene(0, 0, ground=0, item=9), Box(0, 0, 64, 64)) is None
    with pytest.raises(ValueError, match="sharp"):
        placement("sharp", scene(0, 0, ground=0, item=9), Box(0, 0, 64, 64))


def test_a_window_stops_short_of_a_taken_one_and_still_moves_along_it() -> None:
    apart = contrast(scene(20, 30, ground=0, item=200))
    assert centred(apart, Box(10, 26, 28, 28), taken=[Box(10, 0, 28, 25)]) == Box(13, 25, 28, 28), (
        "one px left, not three"
    )
    assert centred(apart, Box(10, 26, 28, 28), taken=[Box(40, 26, 24, 24)]) == Box(12, 23, 28, 28), (
        "two px down, not three"
    )
    assert centred(apart, Box(10, 26, 28, 28), taken=[Box(41, 26, 23, 23)]) == Box(13, 23, 28, 28), "they may touch"


@given(
    seed=st.integers(0, 99),
    places=st.tuples(*[st.integers(0, 44)] * 4),
    side=st.integers(8, 20),
)
def test_a_moved_window_never_overlaps_a_taken_one(seed: int, places: tuple[int, ...], side: int) -> None:
    box, taken = Box(*places[:2], side, side), Box(*places[2:], side, side)
    if shared(box, taken):
        return
    image = np.random.default_rng(seed).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    image[:, : places[1] + 5] //= 4
    free, beside = centred(contrast(image), box), centred(contrast(image), box, taken=[taken])
    assert not shared(beside, taken)
    assert beside == free or shared(free, taken), "it stops short only where it must"
