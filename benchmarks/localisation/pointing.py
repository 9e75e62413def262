"""Where a rule points against where the item is: pointing and IoU of each image's best window.

Owns the two measures. Must not know models, rules or how scores came about. *Pointing* says whether the centre of the chosen
window lies in the true box; IoU is intersection over union of the two boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes.scenes import Scenes
from selector.localisation.centring import centred, contrast
from selector.localisation.windows import WindowGrid
from selector.records import Box


@dataclass(frozen=True)
class Localisation:
    """By image, in the scenes' order. hits: bool [n], pointing. iou: float64 [n]. decoys: bool [n], scenes with one."""

    hits: NDArray[np.bool_]
    iou: NDArray[np.float64]
    decoys: NDArray[np.bool_]

    @property
    def pointing(self) -> float:
        """Share of all images."""
        return float(self.hits.mean())

    @property
    def pointing_decoys(self) -> float:
        """Share of the images with a decoy."""
        return float(self.hits[self.decoys].mean())

    @property
    def mean_iou(self) -> float:
        """Mean over all images."""
        return float(self.iou.mean())


def localise(scores: NDArray[np.floating], grid: WindowGrid, scenes: Scenes) -> Localisation:
    """Each image's best window against its true box. scores: [n, a, b]."""
    return localise_boxes(best_boxes(scores, grid), scenes)


def best_boxes(scores: NDArray[np.floating], grid: WindowGrid) -> list[Box]:
    """Each image's best window (the topmost, then leftmost of equals). scores: [n, a, b]."""
    best = scores.reshape(len(scores), -1).argmax(1)
    return [grid.box(*divmod(int(place), len(grid.lefts))) for place in best]


def centred_boxes(boxes: Sequence[Box], scenes: Scenes) -> list[Box]:
    """The boxes, moved onto what stands out in them (`selector.localisation.centring`)."""
    return [
        centred(contrast(np.repeat(image[..., None], 3, axis=-1)), box)
        for image, box in zip(scenes.images, boxes, strict=True)
    ]


def localise_boxes(boxes: Sequence[Box], scenes: Scenes) -> Localisation:
    """One box of each image against its true box."""
    tops, lefts, heights, widths = np.array([tuple(vars(box).values()) for box in boxes], np.int64).reshape(-1, 4).T
    down, right = tops + heights / 2 - scenes.tops, lefts + widths / 2 - scenes.lefts
    hits = (down >= 0) & (down < scenes.sides) & (right >= 0) & (right < scenes.sides)
    rows = np.clip(np.minimum(tops + heights, scenes.tops + scenes.sides) - np.maximum(tops, scenes.tops), 0, None)
    columns = np.clip(
        np.minimum(lefts + widths, scenes.lefts + scenes.sides) - np.maximum(lefts, scenes.lefts), 0, None
    )
    shared = rows * columns
    return Localisation(hits, shared / (heights * widths + scenes.sides**2 - shared), scenes.decoys)
