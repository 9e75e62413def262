"""Windows moved by less than a stride so that what stands out in them is in their middle.

Owns this refinement. Must not know labels, teachers, stores or methods. Scoring compares windows at a stride, and the delta
map's cells are as coarse, so a window is off by some pixels; pixels that differ from the image's median grey say where to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.records import Box

REACH = 1 / 7
"""How far a window may move along each axis, as a share of its side: a stride of 4 px for a window of 28 px."""


def centred(image: NDArray[np.uint8], box: Box) -> Box:
    """The box, moved so that the centroid of |grey − median grey| within it is its centre; within REACH and the image.

    image: uint8 [H, W, 3]. A flat box stays where it is.
    """
    grey = image.mean(axis=2)
    apart = np.abs(grey - np.median(grey))[box.top : box.top + box.height, box.left : box.left + box.width]
    total = float(apart.sum())
    if total <= 0:
        return box
    down = float((apart.sum(axis=1) * (np.arange(box.height) + 0.5)).sum()) / total - box.height / 2
    right = float((apart.sum(axis=0) * (np.arange(box.width) + 0.5)).sum()) / total - box.width / 2
    return Box(
        _moved(box.top, down, box.height, image.shape[0]),
        _moved(box.left, right, box.width, image.shape[1]),
        box.height,
        box.width,
    )


def _moved(start: int, by: float, side: int, room: int) -> int:
    reach = round(side * REACH)
    return min(max(start + min(max(round(by), -reach), reach), 0), room - side)
