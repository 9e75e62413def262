"""Rounds of draws against one round of all of them, on the numbers that an image ends with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.images.canvas import fit
from selector.images.prepare import FAILED, FILTERED, OK, Prepared
from selector.scoring.plan import Plan
from selector.scoring.racing import Race
from selector.scoring.reduction import Drawn, ImageScore, failed, pair_means, reduced
from selector.scoring.typicality import combine_rounds, reduce_deltas, rule, window_standard_error

DRAWS = 12
GRID = Plan(
    rule=rule("rotating-weighted-brightness"),
    prior_weight=0.3,
    draws=DRAWS,
    weights=np.repeat(np.linspace(0.5, 2, DRAWS // 2), 2).astype(np.float32),
    timesteps=np.repeat([400, 600, 500, 700, 450, 650], 2).astype(np.int64),
    window_px=12,
    stride_px=2,
    resolution=32,
    patches_per_image=2,
    fit="crop",
    min_side=8,
    classes=3,
)
CENTRED = replace(GRID, rule=rule("rotating-weighted"), patches_per_image=1, centring="contrast")
RACE = replace(GRID, race=Race((4, 8, 12), (1.0, 0.5, 0.5)))


def image(seed: int) -> Prepared:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    canvas, mapping = fit(pixels, 32, "pad" if seed % 2 else "crop")
    return Prepared("a.png", "0" * 16, OK, "", 40, 50, canvas, mapping)


def drawn(deltas: NDArray[np.float32], span: range) -> Drawn:
    losses = tuple(float(draw) for draw in span)
    return Drawn(deltas[span.start : span.stop], losses, losses)


def raced(prepared: Prepared, deltas: NDArray[np.float32], rounds: int) -> list[ImageScore]:
    scores: list[ImageScore] = []
    for round in range(rounds):
        earlier = np.concatenate([score.window_values for score in scores]) if scores else None
        scores.append(reduced(RACE, prepared, 1, round, drawn(deltas, RACE.span(round)), earlier))
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_an_image_that_went_through_all_rounds_is_scored_as_by_the_full_grid(seed: int) -> None:
    deltas = np.random.default_rng(seed).normal(1, 1, (DRAWS, 8, 8)).astype(np.float32)
    whole = reduced(GRID, image(seed), 1, 0, drawn(deltas, range(DRAWS)))
    rounds = raced(image(seed), deltas, 3)
    assert [w.canvas for w in rounds[-1].windows] == [w.canvas for w in whole.windows]
    assert [w.original for w in rounds[-1].windows] == [w.original for w in whole.windows]
    for ours, theirs in zip(rounds[-1].windows, whole.windows, strict=True):
        assert ours.typicality == pytest.approx(theirs.typicality, rel=1e-5)
        assert ours.standard_error == pytest.approx(theirs.standard_error, rel=1e-4)
    assert (rounds[-1].draws, whole.draws) == (DRAWS, DRAWS)
    assert sum(score.unet_rows for score in rounds) == whole.unet_rows == 2 * DRAWS
    assert sum((score.losses_prompt for score in rounds), ()) == whole.losses_prompt
    maps = [score.delta for score in rounds if score.delta is not None]
    parts = [RACE.weights[span.start : span.stop] for span in map(RACE.span, range(3))]
    assert whole.delta is not None
    np.testing.assert_allclose(combine_rounds(maps, parts), whole.delta, atol=1e-6)


def test_after_a_first_round_the_image_has_the_windows_of_its_draws_alone() -> None:
    deltas = np.random.default_rng(7).normal(size=(DRAWS, 8, 8)).astype(np.float32)
    four = replace(GRID, draws=4, weights=GRID.weights[:4], timesteps=GRID.timesteps[:4])
    (first,) = raced(image(0), deltas, 1)
    alone = reduced(four, image(0), 1, 0, drawn(deltas, range(4)))
    assert [w.canvas for w in first.windows] == [w.canvas for w in alone.windows]
    assert first.draws == 4
    assert first.windows[0].standard_error == pytest.approx(alone.windows[0].standard_error, rel=1e-4)


def test_the_full_grid_keeps_no_values_of_windows() -> None:
    deltas = np.zeros((DRAWS, 8, 8), np.float32)
    assert reduced(GRID, image(0), 1, 0, drawn(deltas, range(DRAWS))).window_values.size == 0


def test_pairs_are_neighbours() -> None:
    assert pair_means(np.array([[1, 10], [3, 30], [5, 50], [5, 70]], np.float32)).tolist() == [[2, 20], [5, 60]]


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
    whole = drawn(deltas, range(DRAWS))
    (before,) = reduced(replace(CENTRED, centring="none"), prepared, 1, 0, whole).windows
    score = reduced(CENTRED, prepared, 1, 0, whole)
    (after,) = score.windows
    assert before.canvas.top % 2 == before.canvas.left % 2 == 0
    assert (after.canvas.top, after.canvas.left) == (after.original.top, after.original.left) == (9, 15)
    enlarged = deltas.repeat(4, axis=1).repeat(4, axis=2)[:, 9:21, 15:27].astype(np.float64).mean(axis=(1, 2))
    assert after.typicality == pytest.approx(np.average(enlarged, weights=CENTRED.weights), rel=1e-5)
    error = window_standard_error(enlarged.astype(np.float32), weights=CENTRED.weights, timesteps=CENTRED.timesteps)
    assert after.standard_error == pytest.approx(float(error), rel=1e-4)
    assert np.array_equal(score.delta, reduce_deltas(deltas, CENTRED.weights))  # type: ignore[arg-type]


def test_in_a_race_a_centred_window_keeps_the_numbers_of_the_grids_window() -> None:
    prepared, deltas = spotted()
    plan = replace(CENTRED, race=RACE.race)
    (still,) = reduced(replace(plan, centring="none"), prepared, 1, 0, drawn(deltas, range(4))).windows
    (moved,) = reduced(plan, prepared, 1, 0, drawn(deltas, range(4))).windows
    assert (moved.canvas.top, moved.canvas.left) == (9, 15) != (still.canvas.top, still.canvas.left)
    assert (moved.typicality, moved.standard_error) == (still.typicality, still.standard_error)


def test_windows_of_several_sizes_do_not_overlap_and_are_scored_where_they_are() -> None:
    sides = set()
    for seed in range(4):
        deltas = np.random.default_rng(seed).normal(1, 1, (DRAWS, 8, 8)).astype(np.float32)
        plan = replace(GRID, scales=(8, 12, 16), patches_per_image=4, centring="contrast" if seed % 2 else "none")
        windows = reduced(plan, image(seed), 1, 0, drawn(deltas, range(DRAWS))).windows
        sides |= {window.canvas.height for window in windows}
        covered = np.zeros((32, 32), np.int64)
        for window in windows:
            box = window.canvas
            covered[box.top : box.top + box.height, box.left : box.left + box.width] += 1
            enlarged = deltas.repeat(4, axis=1).repeat(4, axis=2).astype(np.float64)
            inside = enlarged[:, box.top : box.top + box.height, box.left : box.left + box.width].mean(axis=(1, 2))
            assert window.typicality == pytest.approx(np.average(inside, weights=plan.weights), rel=1e-4)
            error = window_standard_error(inside.astype(np.float32), weights=plan.weights, timesteps=plan.timesteps)
            assert window.standard_error == pytest.approx(float(error), rel=1e-3)
        assert covered.max() == 1
    assert sides == {8, 12, 16}
