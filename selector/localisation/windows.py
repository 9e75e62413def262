"""Windows of a canvas by their mean delta, found through an integral image.

A map of h × w latent cells covers the S × S pixels of the canvas evenly: a cell is S/h × S/w pixels, and the mean of a
map over a box weighs cells by the area that the box covers of them. Bilinear interpolation of the integral image is
that exactly, since the map is constant within a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from selector.records import Box

_LUMA = (0.299 / 255, 0.587 / 255, 0.114 / 255)


@dataclass(frozen=True)
class Window:
    """A chosen window: `box` in canvas pixels, `score` what it was chosen by, `typicality` the mean delta over it.

    Where windows were placed anew, `box` is the new place; score and typicality remain those of the grid's window.
    """

    box: Box
    score: float
    typicality: float


Place = Callable[[Box, Sequence[Box]], Box]
"""(a window of the grid, boxes that are taken, which it does not overlap) → where it goes, without overlap."""


@dataclass(frozen=True)
class WindowGrid:
    """Square windows of `side` pixels at every (top, left) of tops × lefts, canvas pixels, on a canvas of canvas_px²."""

    canvas_px: int
    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(len(tops), len(lefts)): the shape of scores of this grid."""
        return len(self.tops), len(self.lefts)

    def box(self, row: int, column: int) -> Box:
        """The window at a position of the grid."""
        return Box(self.tops[row], self.lefts[column], self.side, self.side)


@dataclass(frozen=True)
class ScoredGrid:
    """The windows of a grid with their means and what they are chosen by, both float32 of its shape."""

    grid: WindowGrid
    means: NDArray[np.float32]
    scores: NDArray[np.float32]


@lru_cache(maxsize=4096)
def window_grid(canvas_px: int, window_px: int, stride_px: int, valid: Box | None = None) -> WindowGrid:
    """All windows within `valid` (canvas pixels, default the whole canvas) at the stride; never empty.

    The last row and column of windows touch the far edges, even off the stride, so every valid pixel is in
    some window. Where a side of `valid` is shorter than window_px (a letterboxed panorama), windows shrink to
    it and stay square.
    """
    valid = valid or Box(0, 0, canvas_px, canvas_px)
    if window_px < 1 or stride_px < 1:
        raise ValueError(f"window {window_px} px and stride {stride_px} px must be at least 1")
    inside = valid.top >= 0 and valid.left >= 0 and valid.height >= 1 and valid.width >= 1
    if not inside or valid.top + valid.height > canvas_px or valid.left + valid.width > canvas_px:
        raise ValueError(f"{valid} is not within a canvas of {canvas_px} px")
    side = min(window_px, valid.height, valid.width)
    return WindowGrid(
        canvas_px,
        side,
        _starts(valid.top, valid.height - side, stride_px),
        _starts(valid.left, valid.width - side, stride_px),
    )


def _starts(first: int, room: int, stride: int) -> tuple[int, ...]:
    starts = list(range(0, room + 1, stride))
    if starts[-1] != room:
        starts.append(room)
    return tuple(first + s for s in starts)


def window_means(maps: NDArray[np.float32], grid: WindowGrid) -> NDArray[np.float32]:
    """Mean of each map over each window, float32 [..., len(tops), len(lefts)]; maps: [..., h, w], any h and w.

    Computed in float64 and rounded once, so windows over equal cells have equal means, whatever the order
    of summation.
    """
    tops, lefts = np.asarray(grid.tops), np.asarray(grid.lefts)
    return row_column_means(maps, tops, tops + grid.side, lefts, lefts + grid.side, grid.canvas_px)


def box_means(maps: NDArray[np.float32], box: Box, canvas_px: int) -> NDArray[np.float32]:
    """Mean of each map over one box of canvas pixels, float32 [...]; maps: [..., h, w]. Equals window_means there."""
    top, left = np.asarray([box.top]), np.asarray([box.left])
    return np.asarray(
        row_column_means(maps, top, top + box.height, left, left + box.width, canvas_px)[..., 0, 0], np.float32
    )


def row_column_means(
    maps: NDArray[np.float32],
    tops: NDArray[np.int64],
    bottoms: NDArray[np.int64],
    lefts: NDArray[np.int64],
    rights: NDArray[np.int64],
    canvas_px: int,
) -> NDArray[np.float32]:
    """Means over every box of rows [tops, bottoms) and columns [lefts, rights), float32 [..., rows, columns].

    maps: [..., h, w]. The edges are int64 arrays in units of which the canvas has canvas_px a side; pixels, or parts of them.
    """
    h, w = maps.shape[-2:]
    integral = np.zeros((*maps.shape[:-2], h + 1, w + 1))
    np.cumsum(np.cumsum(maps, axis=-2, dtype=np.float64), axis=-1, out=integral[..., 1:, 1:])
    rows = _at(integral, bottoms, canvas_px, -2) - _at(integral, tops, canvas_px, -2)
    sums = _at(rows, rights, canvas_px, -1) - _at(rows, lefts, canvas_px, -1)
    cells = ((bottoms - tops) * (h / canvas_px))[:, None] * ((rights - lefts) * (w / canvas_px))[None, :]
    return np.asarray(sums / cells, np.float32)


def _at(integral: NDArray[np.float64], pixels: NDArray[np.int64], canvas_px: int, axis: int) -> NDArray[np.float64]:
    """The integral image at pixel coordinates along an axis, between cells by linear interpolation."""
    cells = integral.shape[axis] - 1
    whole, rest = np.divmod(pixels * cells, canvas_px)
    low = np.take(integral, whole, axis)
    if not rest.any():
        return low
    high = np.take(integral, np.minimum(whole + 1, cells), axis)
    share = rest / canvas_px
    return np.asarray(low + (high - low) * (share[:, None] if axis == -2 else share))


def standardise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """z-scores over the last two axes, float32; all 0 where the values do not differ."""
    exact = np.asarray(values, np.float64)
    apart = exact - exact.mean((-2, -1), keepdims=True)
    spread = apart.std((-2, -1), keepdims=True)
    # Equal values leave rounding errors of the mean behind, and those must not be blown up to a spread of 1.
    told_apart = spread > 1e-6 * np.abs(exact).max((-2, -1), keepdims=True)
    return np.asarray(np.where(told_apart, apart / np.where(told_apart, spread, 1.0), 0.0), np.float32)


def brightness_z(image: NDArray[np.uint8], grid: WindowGrid) -> NDArray[np.float32]:
    """z-scores, over the grid's windows, of their mean brightness, float32 [len(tops), len(lefts)].

    image: uint8 [S, S, 3]. A flat image gives zeros.
    """
    return standardise(window_means(brightness(image), grid))


def brightness(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma of ITU-R BT.601 in [0, 1], float32 [S, S]; image: uint8 [S, S, 3]."""
    luma = image.reshape(-1, 3).astype(np.float32) @ np.asarray(_LUMA, np.float32)
    return luma.reshape(image.shape[:2])


def window_scores(means: NDArray[np.float32], prior_scores: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """What windows are chosen by, float32 [..., a, b]: their means, or z(means) + prior_scores if there is a prior.

    Both terms are z-scores over the image's own windows, so the prior's weight means the same on every image.
    prior_scores: weight × brightness_z, of the means' shape.
    """
    if prior_scores is None:
        return means
    if prior_scores.shape != means.shape:
        raise ValueError(f"prior of shape {prior_scores.shape} for windows of shape {means.shape}")
    return np.asarray(standardise(means) + prior_scores, np.float32)


def choose_among(
    grids: Sequence[ScoredGrid], count: int, taken: Sequence[Box] = (), place: Place | None = None
) -> tuple[Window, ...]:
    """Up to `count` windows of all grids by descending score without any overlap, greedily; ties go to the earlier grid.

    taken: boxes that no window may overlap. place: where a chosen window goes before the next is chosen; by default it
    stays. So fewer windows are the first of more, and those of an image that gave some already are the ones that follow.
    """
    left_over = [each.scores.astype(np.float64) for each in grids]
    boxes: list[Box] = []
    chosen: list[Window] = []

    def take(box: Box) -> None:
        boxes.append(box)
        for each, scores in zip(grids, left_over, strict=True):
            scores[_overlapping(each.grid, box)] = -np.inf

    for box in taken:
        take(box)
    while len(chosen) < count:
        number = int(np.argmax([scores.max() for scores in left_over]))
        best, scores = grids[number], left_over[number]
        row, column = divmod(int(scores.argmax()), scores.shape[1])
        if scores[row, column] == -np.inf:
            break
        box = place(best.grid.box(row, column), boxes) if place else best.grid.box(row, column)
        at = row, column
        chosen.append(Window(box, float(best.scores[at]), float(best.means[at])))
        scores[at] = -np.inf
        take(box)
    return tuple(chosen)


def _overlapping(grid: WindowGrid, box: Box) -> NDArray[np.bool_]:
    """Which windows of the grid share pixels with the box."""
    tops, lefts = np.asarray(grid.tops)[:, None], np.asarray(grid.lefts)[None, :]
    rows = (tops < box.top + box.height) & (box.top < tops + grid.side)
    return np.asarray(rows & (lefts < box.left + box.width) & (box.left < lefts + grid.side), np.bool_)
