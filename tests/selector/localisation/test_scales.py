"""Windows of several sizes: the score by its definition, and the size that it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.localisation.scales import scored_grids, standing_out
from selector.localisation.windows import brightness, choose_among, window_grid, window_means
from selector.records import Box

WHOLE = Box(0, 0, 64, 64)
SIDES = (20, 28, 36)
BLACK = np.zeros((64, 64, 3), np.uint8)


def square(top: int, left: int, side: int, noise: float = 0.0) -> NDArray[np.float32]:
    """A map of 16 × 16 cells over 64 px: 1 within a box, 0 elsewhere, cells at its edge by what it covers of them."""
    pixels = np.zeros((64, 64))
    pixels[top : top + side, left : left + side] = 1
    cells = pixels.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    return (cells + noise * np.random.default_rng(0).normal(size=(16, 16))).astype(np.float32)


@given(
    seed=st.integers(0, 99),
    window=st.integers(4, 40),
    valid=st.sampled_from([WHOLE, Box(12, 0, 40, 64), Box(0, 20, 64, 17)]),
)
def test_the_score_is_the_z_of_the_difference_to_the_ring_of_the_definition(seed: int, window: int, valid: Box) -> None:
    """Reference: the map enlarged to quarters of pixels, where every edge of a ring is a whole number."""
    values = np.random.default_rng(seed).normal(size=(16, 16)).astype(np.float32)
    grid = window_grid(64, window, 12, valid)
    fine = values.repeat(16, axis=0).repeat(16, axis=1).astype(np.float64)
    found = standing_out(values, grid, valid)
    for row, top in enumerate(grid.tops):
        for column, left in enumerate(grid.lefts):
            around = np.zeros((256, 256), bool)
            edges = [max(4 * top - grid.side, 4 * valid.top), max(4 * left - grid.side, 4 * valid.left)]
            ends = [min(4 * top + 5 * grid.side, 4 * (valid.top + valid.height))]
            ends += [min(4 * left + 5 * grid.side, 4 * (valid.left + valid.width))]
            around[edges[0] : ends[0], edges[1] : ends[1]] = True
            own = np.zeros_like(around)
            own[4 * top : 4 * (top + grid.side), 4 * left : 4 * (left + grid.side)] = True
            ring = around & ~own
            if not ring.any():
                assert found[row, column] == 0
                continue
            area, rest = own.sum() / 16, ring.sum() / 16
            expected = (fine[own].mean() - fine[ring].mean()) * np.sqrt(area * rest / (area + rest))
            assert found[row, column] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("prior_weight", [0.0, 0.3])
def test_the_window_has_the_size_of_what_stands_out(side: int, prior_weight: float) -> None:
    """At a place of the grid, with a little noise: the mean alone would take the smallest window, which is all bright too."""
    delta = square(12, 16, side, noise=0.05)
    canvas = BLACK.copy()
    canvas[12 : 12 + side, 16 : 16 + side] = 200
    (best,) = choose_among(scored_grids(delta, canvas, SIDES, 4, WHOLE, prior_weight), 1)
    assert best.box == Box(12, 16, side, side)
    small = window_means(delta, window_grid(64, 20, 4))
    assert best.typicality <= small.max()


def test_two_things_of_different_sizes_give_two_windows_of_different_sizes_side_by_side() -> None:
    delta = np.maximum(square(0, 0, 20), square(28, 24, 36))
    first, second = choose_among(scored_grids(delta, BLACK, SIDES, 4, WHOLE), 2)
    assert {first.box, second.box} == {Box(0, 0, 20, 20), Box(28, 24, 36, 36)}


def test_brightness_counts_by_its_weight_alone() -> None:
    canvas = BLACK.copy()
    canvas[36:64, 0:28] = 255
    delta = square(0, 36, 28)
    assert choose_among(scored_grids(delta, canvas, SIDES, 4, WHOLE, 0.0), 1)[0].box == Box(0, 36, 28, 28)
    assert choose_among(scored_grids(delta, canvas, SIDES, 4, WHOLE, 1.5), 1)[0].box == Box(36, 0, 28, 28)
    assert brightness(canvas).max() == pytest.approx(1)


def test_a_flat_map_and_a_flat_image_tell_no_window_from_another() -> None:
    grids = scored_grids(np.full((16, 16), 0.7, np.float32), BLACK + 90, SIDES, 4, WHOLE, 0.5)
    assert all(not grid.scores.any() for grid in grids)
    assert choose_among(grids, 1)[0].box == Box(0, 0, 20, 20), "the topmost and leftmost of the smallest"


def test_sizes_that_a_letterboxed_picture_cuts_to_the_same_are_one() -> None:
    grids = scored_grids(square(24, 8, 16), BLACK, SIDES, 4, Box(20, 0, 24, 64))
    assert [grid.grid.side for grid in grids] == [20, 24]


def test_a_map_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        scored_grids(np.full((16, 16), np.nan, np.float32), BLACK, SIDES, 4, WHOLE)
