"""Centring by a rule that needs no true box: windows of two halves of the draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.calibration.centring import HALVED_DRAWS, halves, judged_centring
from selector.calibration.sample import Sampled
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import rule
from selector.records import Box

SIDE, OBJECT, IMAGES = 64, 28, 60
SETTING = WindowSetting(rule("rotating"), 0.0, (OBJECT,), 4)


def test_windows_are_centred_where_what_stands_out_is_the_object() -> None:
    places = _places()
    found = judged_centring(_noisy_maps(places), [_sampled(_lit(place)) for place in places], SETTING)
    assert found.chosen == "contrast"
    assert found.own > found.still
    assert found.lead == pytest.approx(found.own - found.other, abs=1e-3)
    assert 0 < found.low < found.lead < found.high


def test_windows_stay_where_what_stands_out_has_nothing_to_do_with_the_object() -> None:
    places, elsewhere = _places(), _places(seed=9)
    found = judged_centring(_noisy_maps(places), [_sampled(_lit(place)) for place in elsewhere], SETTING)
    assert found.chosen == "none"


def test_windows_stay_where_every_picture_pulls_them_alike() -> None:
    """A bright half pulls the windows of both halves of the draws the same way, and so does that of any other picture."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[: SIDE // 2] = 255
    places = _places()
    found = judged_centring(_noisy_maps(places), [_sampled(canvas) for _ in places], SETTING)
    assert (found.chosen, found.lead) == ("none", 0.0)


def test_a_window_stays_within_the_part_that_shows_image() -> None:
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[:, 40:] = 255
    one = Sampled(0, canvas, Box(0, 0, SIDE, OBJECT))
    found = judged_centring([np.zeros((2, 16, 16), np.float32)] * IMAGES, [one] * IMAGES, SETTING)
    assert (found.still, found.own, found.other) == (1.0, 1.0, 1.0)


def test_the_halves_are_every_second_of_the_first_draws_by_their_weights() -> None:
    deltas = np.arange(40, dtype=np.float32).reshape(-1, 1, 1)
    order = list(range(39, -1, -1))
    weights = np.ones(40, np.float32)
    first, second = halves(deltas, weights, order)
    assert first.item() == pytest.approx(np.mean(order[:HALVED_DRAWS:2]))
    assert second.item() == pytest.approx(np.mean(order[1:HALVED_DRAWS:2]))
    weights[39] = 0
    assert halves(deltas, weights, order)[0].item() == pytest.approx(np.mean(order[2:HALVED_DRAWS:2]))


def _places(seed: int = 1) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, SIDE - OBJECT, (IMAGES, 2))


def _noisy_maps(places: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Two halves' maps of 4 px cells: the object's box stands out from noise of their own."""
    draw = np.random.default_rng(2)
    maps = []
    for top, left in places:
        lit = _lit((top, left))[..., 0].reshape(16, 4, 16, 4).mean(axis=(1, 3)) / 255
        maps.append((lit + draw.normal(scale=0.7, size=(2, 16, 16))).astype(np.float32))
    return maps


def _lit(place: NDArray[np.int64] | tuple[int, int]) -> NDArray[np.uint8]:
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = place
    canvas[top : top + OBJECT, left : left + OBJECT] = 255
    return canvas


def _sampled(canvas: NDArray[np.uint8]) -> Sampled:
    return Sampled(0, canvas, Box(0, 0, SIDE, SIDE))
