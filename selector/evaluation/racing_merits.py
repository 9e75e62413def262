"""What images of a race could go on by, other than their typicality: doubt about the window, nearness to a boundary.

Owns these merits, which are measured beside typicality and not used for scoring. Pure: must not know rounds or picks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.evaluation.boxes import overlap
from selector.scoring.plan import Plan
from selector.scoring.typicality import reduce_deltas, window_standard_error
from selector.scoring.windows import WindowGrid, standardise

SAME_WINDOW_IOU = 0.5
_TINY = 1e-30


def window_doubt(plan: Plan, grid: WindowGrid, values: NDArray[np.float32], prior: NDArray[np.float32] | None) -> float:
    """− (lead of the best window over the best one elsewhere) / (standard error of that lead): near 0 is undecided.

    values: float32 [draws, a, b], each draw's mean over every window of the grid. Elsewhere: IoU below one half.
    """
    weights, timesteps = plan.weights[: len(values)], plan.timesteps[: len(values)]
    means = reduce_deltas(values, weights)
    scores = (means if prior is None else standardise(means) + prior).reshape(-1).astype(np.float64)
    best = int(scores.argmax())
    boxes = [grid.box(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]
    elsewhere = np.array([overlap(boxes[best], box) < SAME_WINDOW_IOU for box in boxes])
    if not elsewhere.any():
        return -np.inf
    rival = int(np.where(elsewhere, scores, -np.inf).argmax())
    flat = values.reshape(len(values), -1)
    error = float(window_standard_error(flat[:, best] - flat[:, rival], weights=weights, timesteps=timesteps))
    unit = 1.0 if prior is None else float(means.std()) or 1.0
    return -float(scores[best] - scores[rival]) * unit / max(error, _TINY)


def boundary_doubt(typicality: NDArray[np.float32], error: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """− |typicality − the boundary of the best `share`| / standard error, float64 [n], of the images of one class."""
    place = min(len(typicality) - 1, round(share * len(typicality)))
    boundary = np.sort(typicality.astype(np.float64))[::-1][place]
    return np.asarray(-np.abs(typicality - boundary) / np.maximum(error, _TINY), np.float64)
