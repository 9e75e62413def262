"""Windows moved by at most about a stride so that what stands out in them is in their middle.

Scoring compares windows at a stride, and the delta map's cells are as coarse, so a window is off by some pixels; pixels
that differ from the image's median grey say where to. That takes no label and no UNet row
(docs/decisions/015-windows.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from selector.localisation.windows import Place
from selector.records import Box

NONE, CONTRAST = "none", "contrast"
CENTRINGS = (NONE, CONTRAST)

REACH = 1 / 7
"""How far a window may move along each axis, as a share of its side: a stride of 4 px for a window of 28 px."""


def placement(centring: str, canvas: NDArray[np.uint8], valid: Box) -> Place | None:
    """Where chosen windows of a canvas go under one of CENTRINGS; None if they stay where they are.

    canvas: uint8 [S, S, 3]. valid: the part of it that shows image.
    """
    if centring == NONE:
        return None
    if centring != CONTRAST:
        raise ValueError(f"centring must be one of {CENTRINGS}, not {centring!r}")
    apart = contrast(canvas, valid)
    return lambda box, taken: centred(apart, box, valid, taken)


def contrast(image: NDArray[np.uint8], valid: Box | None = None) -> NDArray[np.float64]:
    """How much every pixel stands out, float64 [H, W]: |grey − median grey of `valid`|, by default of the whole image.

    image: uint8 [H, W, 3].
    """
    grey = image.mean(axis=2)
    return np.asarray(np.abs(grey - np.median(grey if valid is None else _cut(grey, valid))), np.float64)


def centred(apart: NDArray[np.float64], box: Box, valid: Box | None = None, taken: Sequence[Box] = ()) -> Box:
    """The box, moved so that the centroid of `contrast` within it is its centre, by REACH at most; a flat box stays.

    It stays within `valid` (by default all of the image) and overlaps none of the boxes that are taken, which it did not
    before: where it would, it stops short, first along one axis, then along the other.
    """
    valid = valid or Box(0, 0, *apart.shape)
    inside = _cut(apart, box)
    total = float(inside.sum())
    if total <= 0:
        return box
    down = float((inside.sum(axis=1) * (np.arange(box.height) + 0.5)).sum()) / total - box.height / 2
    right = float((inside.sum(axis=0) * (np.arange(box.width) + 0.5)).sum()) / total - box.width / 2
    top = _moved(box.top, down, box.height, valid.top, valid.height)
    left = _moved(box.left, right, box.width, valid.left, valid.width)
    return _clear(box, Box(top, left, box.height, box.width), taken)


def _cut(values: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    return values[box.top : box.top + box.height, box.left : box.left + box.width]


def _moved(start: int, by: float, side: int, first: int, room: int) -> int:
    reach = round(side * REACH)
    return min(max(start + min(max(round(by), -reach), reach), first), first + room - side)


def _clear(box: Box, target: Box, taken: Sequence[Box]) -> Box:
    """The target, or what is left of the way there without overlap. The box itself overlaps nothing."""
    if not _overlaps(target, taken):
        return target
    along = [Box(top, box.left, box.height, box.width) for top in _from_to(target.top, box.top)]
    box = next(each for each in along if not _overlaps(each, taken))
    across = [Box(box.top, left, box.height, box.width) for left in _from_to(target.left, box.left)]
    return next(each for each in across if not _overlaps(each, taken))


def _from_to(start: int, end: int) -> chain[int]:
    """start, …, end in steps of one, either way."""
    return chain(range(start, end, 1 if end > start else -1), (end,))


def _overlaps(box: Box, taken: Sequence[Box]) -> bool:
    return any(
        box.top < other.top + other.height
        and other.top < box.top + box.height
        and box.left < other.left + other.width
        and other.left < box.left + box.width
        for other in taken
    )
