"""Windows of several sizes: a score that is fair to size.

The mean over a window shrinks towards the image's mean as windows grow, and the largest mean of many small windows is
mostly noise. So a window is compared with its surround, a ring a quarter of its side wide: with a and r the areas of
window and ring, (mean inside − mean of the ring) · √(a r / (a + r)) is, but for one factor for the whole image, the z
of the difference of two means of independent cells. A window that is too large has dull edges within, one that is too
small has shine around it. docs/decisions/015-windows.md says what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.localisation.windows import (
    ScoredGrid,
    WindowGrid,
    brightness,
    row_column_means,
    standardise,
    window_grid,
    window_means,
)
from selector.records import Box

_QUARTERS = 4
"""A ring is a quarter of a window's side wide, so its edges lie on quarters of pixels."""


def scored_grids(
    delta: NDArray[np.float32],
    canvas: NDArray[np.uint8],
    sides: Sequence[int],
    stride_px: int,
    valid: Box,
    prior_weight: float = 0.0,
) -> tuple[ScoredGrid, ...]:
    """The windows of every size with their scores, smallest first; sizes that `valid` cuts to the same are one.

    delta: float32 [h, w], the mean delta map; raises ValueError if not finite. canvas: uint8 [S, S, 3]. sides: pixels. Scores
    are z-scores over all windows of all sizes, and prior_weight × those of brightness by the same formula is added.
    """
    if not np.isfinite(delta).all():
        raise ValueError("the delta map is not finite")
    by_side = {grid.side: grid for grid in (window_grid(len(canvas), side, stride_px, valid) for side in sorted(sides))}
    grids = tuple(by_side.values())
    scores = _joint([standing_out(delta, grid, valid) for grid in grids])
    if prior_weight:
        shining = _joint([standing_out(brightness(canvas), grid, valid) for grid in grids])
        scores = [one + np.float32(prior_weight) * other for one, other in zip(scores, shining, strict=True)]
    return tuple(ScoredGrid(grid, window_means(delta, grid), score) for grid, score in zip(grids, scores, strict=True))


def standing_out(values: NDArray[np.float32], grid: WindowGrid, valid: Box) -> NDArray[np.float32]:
    """How much every window stands out from its surround within `valid`, float32 of the grid's shape; 0 without any.

    values: float32 [h, w], a map that covers the canvas.
    """
    tops, lefts = _QUARTERS * np.asarray(grid.tops), _QUARTERS * np.asarray(grid.lefts)
    side, room = _QUARTERS * grid.side, Box(*(_QUARTERS * edge for edge in vars(valid).values()))
    outer_tops, outer_bottoms = _widened(tops, side, grid.side, room.top, room.height)
    outer_lefts, outer_rights = _widened(lefts, side, grid.side, room.left, room.width)
    inside = window_means(values, grid).astype(np.float64)
    whole = row_column_means(values, outer_tops, outer_bottoms, outer_lefts, outer_rights, _QUARTERS * grid.canvas_px)
    area, all_area = side**2, (outer_bottoms - outer_tops)[:, None] * (outer_rights - outer_lefts)[None, :]
    apart = inside - whole
    # Equal values leave the rounding of their means behind; a window without surround has nothing to stand out from.
    nothing = (np.abs(apart) <= 1e-6 * np.abs(values).max()) | (all_area == area)
    ring = np.where(nothing, 1, all_area - area)
    # inside − mean of the ring = (inside − whole) · all_area / ring
    scaled = apart * np.sqrt(area * all_area / ring) / _QUARTERS
    return np.asarray(np.where(nothing, 0.0, scaled), np.float32)


def _widened(
    starts: NDArray[np.int64], side: int, by: int, first: int, room: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.maximum(starts - by, first), np.minimum(starts + side + by, first + room)


def _joint(values: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """z-scores over all of them together."""
    flat = standardise(np.concatenate([each.ravel() for each in values])[None])[0]
    ends = np.cumsum([each.size for each in values])
    return [part.reshape(each.shape) for part, each in zip(np.split(flat, ends[:-1]), values, strict=True)]
