"""Whether windows are to be centred, decided on a sample of the data without true boxes.

Two halves of the draws choose a window each. Where what stands out in a picture is the object, windows that are moved onto it
come closer to each other; where it is not, they come no closer than by what stands out in another picture, which pulls them
together a little too (docs/decisions/032-centring-without-boxes.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selector.calibration.order import bootstrapped
from selector.calibration.sample import Sampled
from selector.localisation.centring import CONTRAST, NONE, centred, contrast
from selector.localisation.choice import WindowSetting, chosen_windows
from selector.localisation.typicality import reduce_deltas
from selector.records import Box

HALVED_DRAWS = 12
"""Draws that are halved, the repository's first: about as many as are scored with. With more, windows hardly differ."""


@dataclass(frozen=True)
class Centring:
    """still, own, other: mean overlap (IoU) of the two halves' windows as chosen, and moved by their own picture and by another.

    lead: own less other, with its 95 % bootstrap interval over images. chosen: "contrast" if that is above 0, else "none".
    """

    chosen: str
    still: float
    own: float
    other: float
    lead: float
    low: float
    high: float


def halves(deltas: NDArray[np.float32], weights: NDArray[np.float32], taken: Sequence[int]) -> NDArray[np.float32]:
    """The mean maps by every second of the draws taken, and by the others: [K, h, w] → [2, h, w]. weights: [K]."""
    parts = (list(taken[:HALVED_DRAWS][start::2]) for start in (0, 1))
    return np.stack([reduce_deltas(deltas[part], weights[part]) for part in parts])


def judged_centring(
    maps: Sequence[NDArray[np.float32]], sampled: Sequence[Sampled], setting: WindowSetting
) -> Centring:
    """maps: of each image the two `halves`. The other picture is the next image, of the next class where there are several."""
    still = replace(setting, centring=NONE)
    overlaps = []
    for two, one, other in zip(maps, sampled, [*sampled[1:], sampled[0]], strict=True):
        boxes = [chosen_windows(delta, one.canvas, one.valid, still, 1)[0].box for delta in two]
        apart = (contrast(picture.canvas, picture.valid) for picture in (one, other))
        overlaps.append([_overlap(boxes), *(_overlap([centred(a, box, one.valid) for box in boxes]) for a in apart)])
    measured = np.asarray(overlaps)
    gain = measured[:, 1] - measured[:, 2]
    low, high = bootstrapped(gain, 0)
    means = (round(float(value), 4) for value in (*measured.mean(axis=0), gain.mean(), low, high))
    return Centring(CONTRAST if low > 0 else NONE, *means)


def _overlap(boxes: Sequence[Box]) -> float:
    return boxes[0].overlap(boxes[1])
