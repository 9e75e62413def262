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
from selector.localisation.choice import WindowSetting, chosen_windows
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


def localise_boxes(boxes: Sequence[Box], scenes: Scenes) -> Localisation:
    """One box of each image against its true box."""
    pairs = list(zip(boxes, scenes.boxes, strict=True))
    hits = np.array([box.points_at(true) for box, true in pairs], np.bool_)
    return Localisation(hits, np.array([box.overlap(true) for box, true in pairs], np.float64), scenes.decoys)


def boxes_of_maps(means: Sequence[NDArray[np.float32]], scenes: Scenes, setting: WindowSetting) -> list[Box]:
    """Each image's best window by a setting. means: mean delta maps, float32 [h, w]."""
    canvases, whole = scenes.canvases, Box(0, 0, *scenes.images.shape[1:3])
    both = zip(means, canvases, strict=True)
    return [chosen_windows(mean, canvas, whole, setting, 1)[0].box for mean, canvas in both]


def localise_maps(means: Sequence[NDArray[np.float32]], scenes: Scenes, setting: WindowSetting) -> Localisation:
    """Each image's best window by a setting against its true box. means: mean delta maps, float32 [h, w]."""
    return localise_boxes(boxes_of_maps(means, scenes, setting), scenes)
