"""Trials of races on maps made of numbers: who gets draws, what is compared with what."""

from __future__ import annotations

import numpy as np
import pytest

from selector.evaluation.draw_maps import DrawMaps
from selector.evaluation.racing_merits import boundary_doubt, window_doubt
from selector.evaluation.racing_trial import Picks, Trial, first_draws, pick, pointing, same_images, same_windows
from selector.images.canvas import fit
from selector.images.prepare import OK, Prepared
from selector.records import Box
from selector.scoring.racing import Race
from selector.scoring.reduction import grid_of
from tests.selector.scoring.test_reduction import GRID

PER_CLASS, CLASSES, DRAWS = 8, 2, 12
RACE = Race((4, 8, 12), (1.0, 0.5, 0.25))


@pytest.fixture(scope="module")
def maps() -> DrawMaps:
    rng = np.random.default_rng(0)
    images = []
    for number in range(PER_CLASS * CLASSES):
        canvas, mapping = fit(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), 32)
        images.append(Prepared(f"{number}.png", f"{number:016x}", OK, "", 32, 32, canvas, mapping))
    class_id = np.repeat(np.arange(CLASSES), PER_CLASS)
    level = rng.normal(size=(len(images), 1, 1, 1, 1))
    deltas = (level + rng.normal(0, 0.3, (len(images), 2, DRAWS, 8, 8))).astype(np.float32)
    return DrawMaps(GRID, tuple(images), class_id, deltas)


def test_a_race_spends_its_shares_on_the_most_typical(maps: DrawMaps) -> None:
    trial = Trial(maps)
    raced = trial.raced(0, RACE)
    first = trial.typicality(0, 4)
    for class_id in range(CLASSES):
        own = np.flatnonzero(maps.class_id == class_id)
        assert sorted(raced.draws[own].tolist()) == [4] * 4 + [8] * 2 + [12] * 2
        assert first[own[raced.draws[own] > 4]].min() > first[own[raced.draws[own] == 4]].max()
    assert raced.rows_per_image == 2 * (4 + 4 / 2 + 4 / 4)


def test_every_image_has_the_window_of_its_own_draws(maps: DrawMaps) -> None:
    trial = Trial(maps)
    raced = trial.raced(1, RACE)
    for number, draws in enumerate(raced.draws):
        assert raced.windows[number] == trial.fixed(1, int(draws)).windows[number]


def test_another_merit_chooses_other_images(maps: DrawMaps) -> None:
    trial = Trial(maps)
    backwards = trial.raced(0, RACE, lambda replicate, draws: -trial.typicality(replicate, draws))
    assert not np.array_equal(backwards.draws, trial.raced(0, RACE).draws)
    for merit in (trial.window, trial.boundary):
        assert sorted(trial.raced(0, RACE, merit).draws) == sorted(backwards.draws)


def test_the_order_by_typicality_picks_the_most_typical(maps: DrawMaps) -> None:
    trial = Trial(maps)
    scores = trial.fixed(0, DRAWS)
    features = {(i, w.original): np.ones(4, np.float16) / 2 for i, w in enumerate(scores.windows)}
    picks = pick(maps, scores, features, 3, "typicality")
    values = trial.typicality(0, DRAWS)
    for class_id, own in picks.by_class.items():
        members = np.flatnonzero(maps.class_id == class_id)
        assert [number for number, _ in own] == members[np.argsort(-values[members])[:3]].tolist()


def test_overlaps_count_images_and_windows_by_class() -> None:
    near, far = Box(0, 1, 8, 8), Box(0, 5, 8, 8)  # IoU with the box at 0: 7/9 and 3/13
    ours = Picks({0: ((1, Box(0, 0, 8, 8)), (2, Box(0, 0, 8, 8))), 1: ((7, Box(0, 0, 8, 8)), (8, far))})
    theirs = Picks({0: ((2, near), (3, near)), 1: ((8, far), (7, far))})
    assert same_images(ours, theirs).tolist() == [0.5, 1.0]
    assert same_windows(ours, theirs).tolist() == [0.5, 0.5]
    assert same_images(ours.first(1), theirs.first(1)).tolist() == [0, 0]
    true = [Box(0, 0, 8, 8)] * 9
    assert pointing(ours, true).tolist() == [1.0, 0.5]


def test_a_window_that_leads_in_every_draw_is_decided_and_a_tie_is_not(maps: DrawMaps) -> None:
    plan, grid = first_draws(GRID, 8), grid_of(GRID, maps.images[0])
    rng = np.random.default_rng(1)
    values = rng.normal(0, 0.1, (8, *grid.shape)).astype(np.float32)
    values[:, 0, 0] += 5
    clear = window_doubt(plan, grid, values, None)
    values[:, -1, -1] += 5
    assert clear < -20 < -5 < window_doubt(plan, grid, values, None) <= 0


def test_the_image_at_the_boundary_is_the_most_doubtful() -> None:
    typicality, error = np.arange(8, dtype=np.float32), np.full(8, 0.5, np.float32)
    doubt = boundary_doubt(typicality, error, 0.25)
    assert int(doubt.argmax()) == 5, "two of eight are better"
    assert doubt[7] == pytest.approx(-4)
