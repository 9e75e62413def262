"""Fitting to the canvas and back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from selector.images.canvas import PADDING, CanvasMap, crop, cut, fit
from selector.localisation.windows import window_grid
from selector.records import Box

sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
modes = st.sampled_from(["crop", "pad"])


def blank(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 200, np.uint8)


def edges(box: Box) -> tuple[int, int, int, int]:
    return box.top, box.top + box.height, box.left, box.left + box.width


@given(sizes, st.integers(8, 40), modes)
def test_every_window_maps_into_the_original_within_half_a_pixel_of_the_exact_place(
    size: tuple[int, int], resolution: int, mode: str
) -> None:
    canvas, mapping = fit(blank(*size), resolution, mode)
    assert canvas.shape == (resolution, resolution, 3)
    valid, region = mapping.valid, mapping.region
    grid = window_grid(resolution, max(1, resolution * 28 // 64), max(1, resolution // 16), valid)
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            box = grid.box(row, column)
            found = mapping.to_original(box)
            assert found.height >= 1
            assert found.width >= 1
            assert found.top >= 0
            assert found.left >= 0
            assert found.top + found.height <= size[0]
            assert found.left + found.width <= size[1]
            exact = (
                *(region.top + Fraction(e - valid.top) * region.height / valid.height for e in edges(box)[:2]),
                *(region.left + Fraction(e - valid.left) * region.width / valid.width for e in edges(box)[2:]),
            )
            # A box below one pixel of the original is widened to one.
            slack = Fraction(1, 2) if min(exact[1] - exact[0], exact[3] - exact[2]) >= 1 else Fraction(1)
            assert all(abs(a - b) <= slack for a, b in zip(edges(found), exact, strict=True))


@given(sizes, st.integers(4, 40), modes)
def test_the_valid_part_of_the_canvas_maps_to_the_whole_region(
    size: tuple[int, int], resolution: int, mode: str
) -> None:
    _, mapping = fit(blank(*size), resolution, mode)
    region = mapping.region
    assert mapping.to_original(mapping.valid) == region
    if mode == "pad":
        assert region == Box(0, 0, *size)
    else:
        assert region.height == region.width == min(size)
        assert size[0] - region.height - 2 * region.top in (0, 1)
        assert size[1] - region.width - 2 * region.left in (0, 1)


@given(st.integers(20, 90), st.integers(20, 90), st.integers(8, 20), modes)
def test_boxes_that_touch_on_the_canvas_touch_on_the_original(
    height: int, width: int, resolution: int, mode: str
) -> None:
    """Hence boxes that do not overlap on the canvas do not overlap on the original."""
    _, mapping = fit(blank(height, width), resolution, mode)
    v = mapping.valid
    for split in range(1, v.width):
        left = mapping.to_original(Box(v.top, v.left, v.height, split))
        right = mapping.to_original(Box(v.top, v.left + split, v.height, v.width - split))
        assert left.left + left.width in (right.left, right.left + 1)  # +1: a sliver below one pixel
        if height >= resolution and width >= resolution:
            assert left.left + left.width == right.left


@given(st.integers(2, 30), modes)
def test_an_image_of_the_canvas_size_is_untouched_and_boxes_map_to_themselves(resolution: int, mode: str) -> None:
    image = np.random.default_rng(resolution).integers(0, 256, (resolution, resolution, 3)).astype(np.uint8)
    canvas, mapping = fit(image, resolution, mode)
    assert (canvas == image).all()
    assert canvas is not image
    for box in (Box(0, 0, 1, 1), Box(1, 0, resolution - 1, 2), Box(0, 0, resolution, resolution)):
        assert mapping.to_original(box) == box


def test_a_box_on_padding_is_refused() -> None:
    _, mapping = fit(blank(30, 60), 60, "pad")
    assert mapping.valid == Box(15, 0, 30, 60)
    with pytest.raises(ValueError, match="not within the 30 px"):
        mapping.to_original(Box(14, 0, 10, 10))
    with pytest.raises(ValueError, match="not within"):
        mapping.to_original(Box(20, 0, 0, 10))


def test_padding_is_black_and_the_image_lies_between() -> None:
    canvas, mapping = fit(blank(30, 60), 60, "pad")
    inside = cut(canvas, mapping.valid)
    assert (inside == 200).all()
    assert canvas.astype(int).sum() == inside.astype(int).sum()
    assert PADDING == 0


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (20, 30), (64, 64)])
def test_what_a_window_shows_on_the_canvas_is_what_its_box_holds_on_the_original(
    height: int, width: int, mode: str
) -> None:
    """A gradient of rows and columns tells where a pixel came from."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    image[..., 1] = np.linspace(0, 250, width).astype(np.uint8)[None, :]
    canvas, mapping = fit(image, 64, mode)
    grid = window_grid(64, 28, 4, mapping.valid)
    for box in (grid.box(0, 0), grid.box(grid.shape[0] - 1, grid.shape[1] - 1), grid.box(grid.shape[0] // 2, 0)):
        seen = cut(canvas, box).mean((0, 1))
        held = cut(image, mapping.to_original(box)).mean((0, 1))
        np.testing.assert_allclose(seen, held, atol=6)


def test_a_crop_uses_no_pixel_from_outside_of_its_box() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    image[10:20, 10:20] = 255
    assert (crop(image, Box(10, 10, 10, 10), 64) == 255).all()


def test_shrinking_is_antialiased() -> None:
    """A fine checkerboard becomes grey, not black or white."""
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    canvas, _ = fit(np.repeat(board[:, :, None], 3, 2), 32)
    assert abs(canvas.astype(int) - 127).max() < 12


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, 0, 0, 5), Box(46, 0, 5, 5), Box(0, 46, 5, 5)])
def test_a_box_outside_of_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="not within an image of 50 × 50"):
        crop(blank(50, 50), box, 8)


@pytest.mark.parametrize("mode", ["crop", "pad"])
def test_a_very_long_image_costs_no_memory(mode: str) -> None:
    """Resizing before cropping would make a canvas of 512 × 51 million pixels here."""
    canvas, mapping = fit(np.full((8, 800_000, 3), 9, np.uint8), 512, mode)
    assert canvas.shape == (512, 512, 3)
    assert mapping.to_original(mapping.valid) == mapping.region


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="stretch"):
        fit(blank(4, 4), 4, "stretch")


def test_a_map_knows_nothing_but_boxes() -> None:
    mapping = CanvasMap(Box(0, 0, 4, 4), Box(10, 20, 8, 8))
    assert mapping.to_original(Box(1, 2, 2, 1)) == Box(12, 24, 4, 2)
