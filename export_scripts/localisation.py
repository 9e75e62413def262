"""Where a rule points against where the item is: pointing and IoU of each image's best window.

Owns the two measures. Must not know models, rules or how scores came about. *Pointing* says whether the centre of the chosen
window lies in the true box; IoU is intersection over union of the two boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export_scripts.make_scenes import ITEM_PX, Scenes
from selector.scoring.windows import WindowGrid


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
    """Each image's best window (the topmost, then leftmost of equals) against its true box. scores: [n, a, b]."""
    best = scores.reshape(len(scores), -1).argmax(1)
    tops, lefts = np.asarray(grid.tops)[best // len(grid.lefts)], np.asarray(grid.lefts)[best % len(grid.lefts)]
    down, right = tops + grid.side / 2 - scenes.tops, lefts + grid.side / 2 - scenes.lefts
    hits = (down >= 0) & (down < ITEM_PX) & (right >= 0) & (right < ITEM_PX)
    height = np.clip(np.minimum(tops + grid.side, scenes.tops + ITEM_PX) - np.maximum(tops, scenes.tops), 0, None)
    width = np.clip(np.minimum(lefts + grid.side, scenes.lefts + ITEM_PX) - np.maximum(lefts, scenes.lefts), 0, None)
    shared = height * width
    return Localisation(hits, shared / (grid.side**2 + ITEM_PX**2 - shared), scenes.decoys)
