"""Windows by an integral image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.localisation.windows import (
    ScoredGrid,
    WindowGrid,
    box_means,
    brightness_z,
    choose_among,
    standardise,
    window_grid,
    window_means,
    window_scores,
)
from selector.records import Box
from tests.selector.localisation.plain_choice import best_windows


def area_mean(delta: NDArray[np.float32], box: Box, canvas_px: int) -> float:
    """The definition: cells weighted by how much of them the box covers."""
    h, w = delta.shape

    def covered(start: int, length: int, cells: int) -> NDArray[np.float64]:
        edges = np.arange(cells + 1) * canvas_px / cells
        return np.clip(np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start), 0, None)

    area = covered(box.top, box.height, h)[:, None] * covered(box.left, box.width, w)[None, :]
    return float((delta * area).sum() / area.sum())


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(y, x) for y in range(box.top, box.top + box.height) for x in range(box.left, box.left + box.width)}


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, Box]:
    """(canvas_px, window_px, stride_px, valid)."""
    canvas = draw(st.integers(4, 48))
    top, left = draw(st.integers(0, canvas - 1)), draw(st.integers(0, canvas - 1))
    valid = Box(top, left, draw(st.integers(1, canvas - top)), draw(st.integers(1, canvas - left)))
    return canvas, draw(st.integers(1, canvas)), draw(st.integers(1, canvas)), valid


maps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 999)).map(
    lambda c: np.random.default_rng(c[2]).normal(size=c[:2]).astype(np.float32)
)


@given(layouts(), maps)
def test_means_are_the_area_weighted_ones_of_the_definition(
    layout: tuple[int, int, int, Box], delta: NDArray[np.float32]
) -> None:
    canvas, window, stride, valid = layout
    grid = window_grid(canvas, window, stride, valid)
    means = window_means(delta, grid)
    assert means.shape == grid.shape
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            expected = area_mean(delta, grid.box(row, column), canvas)
            assert means[row, column] == pytest.approx(expected, abs=1e-5)
            assert box_means(delta, grid.box(row, column), canvas) == means[row, column]


@given(layouts())
def test_windows_stay_within_the_valid_pixels_and_cover_them(layout: tuple[int, int, int, Box]) -> None:
    canvas, window, stride, valid = layout
    grid = window_grid(canvas, window, min(stride, window, valid.height, valid.width), valid)
    boxes = [grid.box(row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])]
    assert grid.side == min(window, valid.height, valid.width)
    assert set().union(*map(pixels, boxes)) == pixels(valid)


@given(layouts(), maps, st.integers(1, 6), st.booleans())
def test_chosen_windows_never_overlap_and_are_those_of_plain_greedy_search(
    layout: tuple[int, int, int, Box], delta: NDArray[np.float32], count: int, with_prior: bool
) -> None:
    canvas, window, stride, valid = layout
    grid = window_grid(canvas, window, stride, valid)
    prior = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32) if with_prior else None
    chosen = best_windows(delta, canvas, window, stride, count, valid, prior)

    scores = window_scores(window_means(delta, grid), prior)
    free = [(-scores[i, j], grid.tops[i], grid.lefts[j]) for i in range(grid.shape[0]) for j in range(grid.shape[1])]
    expected: list[Box] = []
    for _, top, left in sorted(free):
        box = Box(top, left, grid.side, grid.side)
        if len(expected) < count and all(pixels(box).isdisjoint(pixels(other)) for other in expected):
            expected.append(box)
    assert [w.box for w in chosen] == expected
    assert all(pixels(w.box) <= pixels(valid) for w in chosen)
    assert all(w.typicality == pytest.approx(area_mean(delta, w.box, canvas), abs=1e-5) for w in chosen)


def test_ties_go_to_the_topmost_then_the_leftmost_window() -> None:
    delta = np.full((16, 16), 0.1, np.float32)
    assert [w.box for w in best_windows(delta, 64, 28, 4, 2)] == [Box(0, 0, 28, 28), Box(0, 28, 28, 28)]
    valid = Box(8, 4, 40, 60)
    assert best_windows(delta, 64, 28, 4, 1, valid)[0].box == Box(8, 4, 28, 28)


def test_mirrored_peaks_tie() -> None:
    delta = np.zeros((16, 16), np.float32)
    delta[8, 2] = delta[8, 13] = 0.3
    assert best_windows(delta, 64, 28, 4, 1)[0].box.left == 0


def test_the_builtin_pipelines_grid_has_ten_by_ten_windows() -> None:
    grid = window_grid(64, 28, 4)
    assert grid.tops == grid.lefts == tuple(range(0, 37, 4))


def test_a_window_finds_a_bright_cell_block_exactly() -> None:
    delta = np.zeros((16, 16), np.float32)
    delta[3:10, 5:12] = 1
    (window,) = best_windows(delta, 64, 28, 4, 1)
    assert window.box == Box(12, 20, 28, 28)
    assert window.typicality == window.score == 1.0


def test_a_panorama_gets_square_windows_of_its_own_height() -> None:
    grid = window_grid(64, 28, 4, Box(22, 0, 21, 64))
    assert grid.side == 21
    assert grid.tops == (22,)
    assert grid.lefts[-1] == 64 - 21


@pytest.mark.parametrize("valid", [Box(0, 0, 65, 64), Box(-1, 0, 5, 5), Box(0, 60, 5, 5), Box(0, 0, 0, 4)])
def test_a_valid_box_outside_of_the_canvas_is_refused(valid: Box) -> None:
    with pytest.raises(ValueError, match="not within a canvas of 64"):
        window_grid(64, 28, 4, valid)


def test_batches_of_maps_give_what_single_maps_give() -> None:
    stack = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    grid = window_grid(64, 28, 4)
    assert (window_means(stack, grid)[4, 1] == window_means(stack[4, 1], grid)).all()


GRID = WindowGrid(64, 28, tuple(range(0, 37, 4)), tuple(range(0, 37, 4)))


def test_brightness_is_standardised_over_the_images_own_windows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    z = brightness_z(image, GRID)
    luma = image @ np.asarray([0.299, 0.587, 0.114])
    plain = np.asarray([[luma[t : t + 28, x : x + 28].mean() for x in GRID.lefts] for t in GRID.tops])
    np.testing.assert_allclose(z, (plain - plain.mean()) / plain.std(), atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_a_flat_image_has_no_brightness_prior(level: int) -> None:
    assert (brightness_z(np.full((64, 64, 3), level, np.uint8), GRID) == 0).all()


def test_equal_values_standardise_to_zero_and_scale_does_not_matter() -> None:
    assert (standardise(np.full((3, 3), 0.1, np.float32)) == 0).all()
    values = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    np.testing.assert_allclose(standardise(values * np.float32(1e-7)), standardise(values), atol=1e-4)


def test_a_prior_moves_the_choice_but_not_the_stored_typicality() -> None:
    delta = np.zeros((16, 16), np.float32)
    delta[:7, :7] = 1e-4
    prior = np.zeros((10, 10), np.float32)
    prior[9, 9] = 100
    (window,) = best_windows(delta, 64, 28, 4, 1, prior_scores=prior)
    assert window.box == Box(36, 36, 28, 28)
    assert window.typicality == 0
    assert window.score > 90
    with pytest.raises(ValueError, match=r"prior of shape \(3, 3\)"):
        best_windows(delta, 64, 28, 4, 1, prior_scores=prior[:3, :3])


@given(seed=st.integers(0, 200), count=st.integers(1, 6))
def test_windows_are_placed_one_by_one_so_fewer_are_the_first_of_more(seed: int, count: int) -> None:
    """Each is placed before the next is chosen, and those that an image gave already may be handed in instead."""
    draw = np.random.default_rng(seed)
    grid, means = window_grid(64, 20, 4), draw.normal(size=window_grid(64, 20, 4).shape).astype(np.float32)
    shift = int(draw.integers(0, 3))

    def place(box: Box, taken: Sequence[Box]) -> Box:
        moved = Box(min(box.top + shift, 44), box.left, box.height, box.width)
        return box if any(_overlap(moved, other) for other in taken) else moved

    scored = [ScoredGrid(grid, means, means)]
    more = choose_among(scored, 9, place=place)
    fewer = choose_among(scored, count, place=place)
    assert fewer == more[:count]
    rest = choose_among(scored, 9 - count, [window.box for window in fewer], place)
    assert fewer + rest == more
    assert not any(_overlap(a.box, b.box) for a, b in combinations(more, 2))
    for window in more:
        (row,), (column,) = np.nonzero(means == window.typicality)
        assert window.box.left == grid.lefts[column]
        assert window.box.top - grid.tops[row] in (0, shift) or window.box.top == 44


def _overlap(a: Box, b: Box) -> bool:
    rows = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    return rows > 0 and min(a.left + a.width, b.left + b.width) > max(a.left, b.left)
