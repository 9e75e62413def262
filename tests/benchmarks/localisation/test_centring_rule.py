"""The table that holds the rule about centring against true boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.localisation.centring_rule import SPOILT, rows
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.worlds import Drawn
from tests.toy_repository import IDENTITY

SIDE, COUNT, PX = 28, 60, 64
SERVED = replace(IDENTITY, draws=12, timestep_weights=(1.0,) * 12, resolution=PX, window_fraction=SIDE / PX)


def scenes() -> Scenes:
    """A white square each, two classes by turns."""
    draw = np.random.default_rng(0)
    tops, lefts = draw.integers(0, PX - SIDE, (2, COUNT))
    images = np.zeros((COUNT, PX, PX), np.uint8)
    for image, top, left in zip(images, tops, lefts, strict=True):
        image[top : top + SIDE, left : left + SIDE] = 255
    return Scenes(images, np.arange(COUNT) % 2, tops, lefts, np.zeros(COUNT, bool), np.full(COUNT, SIDE))


def row_of(shown: Scenes) -> list[str]:
    """The last row for maps of `scenes` by single draws, each noisy, and pictures that may be others."""
    cells = scenes().images.reshape(COUNT, 1, 16, 4, 16, 4).mean(axis=(3, 5)) / 255
    maps = (cells + np.random.default_rng(1).normal(scale=1.7, size=(COUNT, 12, 16, 16))).astype(np.float32)
    line = rows("x", Drawn(shown, np.arange(COUNT)), {"null": maps, "rotating": maps}, SERVED)[-1]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_on_pictures_that_show_the_object_centring_helps_and_the_rule_says_so() -> None:
    row = row_of(scenes())
    assert row[3].startswith("+")
    assert row[7] == "yes"


def test_on_pictures_of_something_else_it_harms_and_the_rule_says_no() -> None:
    own = scenes()
    row = row_of(replace(own, images=SPOILT["another scene"](own.images, np.random.default_rng(2))))
    assert row[3].startswith("-")
    assert row[7] == "no"


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_picture_is_another_one_of_the_same_form(name: str) -> None:
    own = scenes().images
    other = SPOILT[name](own, np.random.default_rng(3))
    assert (other.shape, other.dtype) == (own.shape, np.uint8)
    assert (other != own).any(axis=(1, 2)).all()
