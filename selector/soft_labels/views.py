"""Views of a picture: a box and whether it is mirrored, drawn as random resized crops are (Szegedy et al. 2015).

A view depends on the seed, the pick and its own number alone, so more views are these and further ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.images.canvas import crop
from selector.records import Box

_TRIES = 10
_FLATTEST = 3 / 4
"""Least height of a box that is as wide as 1; the greatest is its reciprocal."""


@dataclass(frozen=True)
class View:
    """box: pixels of the picture. mirrored: left and right change places once the box is cut out."""

    box: Box
    mirrored: bool


def middle(height: int, width: int) -> View:
    """The greatest square in the middle of a picture."""
    side = min(height, width)
    return View(Box((height - side) // 2, (width - side) // 2, side, side), mirrored=False)


def drawn(height: int, width: int, area: tuple[float, ...], key: tuple[int, ...]) -> View:
    """A box with a share of the picture's area from [area[0], area[1]], and sides of 3:4 to 4:3; half of them are mirrored.

    key: numbers that tell the view apart. The whole picture, where no box of ten tries fits into it.
    """
    draw = np.random.default_rng(key)
    for _ in range(_TRIES):
        share, flat, down, right, mirror = draw.random(5).tolist()
        pixels = (area[0] + (area[1] - area[0]) * share) * height * width
        ratio = math.exp((2 * flat - 1) * math.log(1 / _FLATTEST))
        tall, wide = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 1 <= tall <= height and 1 <= wide <= width:
            top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
            return View(Box(top, left, tall, wide), mirror < 0.5)
    return View(Box(0, 0, height, width), bool(draw.random() < 0.5))


def seen(picture: NDArray[np.uint8], view: View, side_px: int) -> NDArray[np.uint8]:
    """What a view shows, uint8 [side_px, side_px, 3]. picture: uint8 [h, w, 3]."""
    pixels = crop(picture, view.box, side_px)
    return pixels[:, ::-1] if view.mirrored else pixels
