"""From the delta maps of draws to the numbers that an image ends with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.images.canvas import fit
from selector.images.prepare import FAILED, FILTERED, OK, Prepared
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import reduce_deltas, rule, window_standard_error
from selector.scoring.reduction import Drawn, failed, reduced
from selector.scoring.settings import ScoringSettings

DRAWS = 12
GRID = ScoringSettings(
    windows=WindowSetting(rule("rotating-weighted-brightness"), 0.3, (12,), 2),
    numbers=tuple(range(DRAWS)),
    weights=np.repeat(np.linspace(0.5, 2, DRAWS // 2), 2).astype(np.float32),
    timesteps=np.repeat([400, 600, 500, 700, 450, 650], 2).astype(np.int64),
    resolution=32,
    patches_per_image=2,
    fit="crop",
    min_side=8,
    classes=3,
)
CENTRED = replace(
    GRID, windows=replace(GRID.windows, rule=rule("rotating-weighted"), centring="contrast"), patches_per_image=1
)


def image(seed: int) -> Prepared:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    canvas, mapping = fit(pixels, 32, "pad" if seed % 2 else "crop")
    return Prepared("a.png", "0" * 16, OK, "", 40, 50, canvas, mapping)


def drawn(deltas: NDArray[np.float32]) -> Drawn:
    losses = tuple(float(draw) for draw in range(len(deltas)))
    return Drawn(deltas, losses, losses)


def test_a_filtered_image_stays_filtered_and_a_usable_one_fails_with_its_reason() -> None:
    assert failed(image(0), 1, "draw 3: NaN", 8).prepared.status == FAILED
    kept = failed(replace(image(0), status=FILTERED, reason="small"), 1, "small", 0)
    assert (kept.prepared.status, kept.unet_rows, kept.windows) == (FILTERED, 0, ())


def spotted() -> tuple[Prepared, NDArray[np.float32]]:
    """A bright 8 px square at (11, 17) of a black canvas, and deltas that are large where it is: a cell is 4 px."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[11:19, 17:25] = 250
    canvas, mapping = fit(pixels, 32)
    deltas = np.random.default_rng(3).normal(0, 0.1, (DRAWS, 8, 8)).astype(np.float32)
    deltas[:, 2:5, 4:7] += 1
    return Prepared("a.png", "0" * 16, OK, "", 32, 32, canvas, mapping), deltas


def test_a_centred_window_lands_on_the_item_off_the_grid_and_is_scored_there() -> None:
    """The square's middle is (15, 21); a window of 12 px around it starts at (9, 15), between the grid's even places.
    Reference: deltas enlarged to pixels, whose plain mean over the box is what the box has."""
    prepared, deltas = spotted()
    whole = drawn(deltas)
    (before,) = reduced(replace(CENTRED, windows=replace(CENTRED.windows, centring="none")), prepared, 1, whole).windows
    score = reduced(CENTRED, prepared, 1, whole)
    (after,) = score.windows
    assert before.canvas.top % 2 == before.canvas.left % 2 == 0
    assert (after.canvas.top, after.canvas.left) == (after.original.top, after.original.left) == (9, 15)
    enlarged = deltas.repeat(4, axis=1).repeat(4, axis=2)[:, 9:21, 15:27].astype(np.float64).mean(axis=(1, 2))
    assert after.typicality == pytest.approx(np.average(enlarged, weights=CENTRED.weights), rel=1e-5)
    error = window_standard_error(enlarged.astype(np.float32), weights=CENTRED.weights, timesteps=CENTRED.timesteps)
    assert after.standard_error == pytest.approx(float(error), rel=1e-4)
    assert np.array_equal(score.delta, reduce_deltas(deltas, CENTRED.weights))  # type: ignore[arg-type]


def test_windows_of_several_sizes_do_not_overlap_and_are_scored_where_they_are() -> None:
    sides = set()
    for seed in range(4):
        deltas = np.random.default_rng(seed).normal(1, 1, (DRAWS, 8, 8)).astype(np.float32)
        windows = replace(GRID.windows, sides=(8, 12, 16), centring="contrast" if seed % 2 else "none")
        settings = replace(GRID, windows=windows, patches_per_image=4)
        scored = reduced(settings, image(seed), 1, drawn(deltas)).windows
        sides |= {window.canvas.height for window in scored}
        covered = np.zeros((32, 32), np.int64)
        for window in scored:
            box = window.canvas
            covered[box.top : box.top + box.height, box.left : box.left + box.width] += 1
            enlarged = deltas.repeat(4, axis=1).repeat(4, axis=2).astype(np.float64)
            inside = enlarged[:, box.top : box.top + box.height, box.left : box.left + box.width].mean(axis=(1, 2))
            assert window.typicality == pytest.approx(np.average(inside, weights=settings.weights), rel=1e-4)
            error = window_standard_error(
                inside.astype(np.float32), weights=settings.weights, timesteps=settings.timesteps
            )
            assert window.standard_error == pytest.approx(float(error), rel=1e-3)
        assert covered.max() == 1
    assert sides == {8, 12, 16}
