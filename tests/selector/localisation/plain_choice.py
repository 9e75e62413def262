"""Windows of one size by the pieces of selector.localisation.windows: what the door to the windows is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.localisation.windows import (
    Place,
    ScoredGrid,
    Window,
    choose_among,
    window_grid,
    window_means,
    window_scores,
)
from selector.records import Box


def best_windows(
    delta: NDArray[np.float32],
    canvas_px: int,
    window_px: int,
    stride_px: int,
    count: int,
    valid: Box | None = None,
    prior_scores: NDArray[np.float32] | None = None,
    place: Place | None = None,
) -> tuple[Window, ...]:
    """Up to `count` windows of a mean delta map, best first, without overlap."""
    grid = window_grid(canvas_px, window_px, stride_px, valid)
    means = window_means(delta, grid)
    return choose_among([ScoredGrid(grid, means, window_scores(means, prior_scores))], count, place=place)
