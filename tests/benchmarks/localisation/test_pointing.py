"""Pointing and IoU by hand, and the table made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.localisation.pointing import Localisation, best_boxes, boxes_of_maps, localise, localise_boxes
from benchmarks.localisation.quality import Measured, interval, markdown, summary
from benchmarks.scenes.scenes import Scenes
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import rule
from selector.localisation.windows import window_grid
from selector.records import Box

GRID = window_grid(64, 28, 4)


def scenes(tops: list[int], lefts: list[int]) -> Scenes:
    n = len(tops)
    return Scenes(
        np.zeros((n, 64, 64), np.uint8),
        np.zeros(n, np.int64),
        np.array(tops),
        np.array(lefts),
        np.arange(n) > 0,
        np.full(n, 28),
    )


def best_at(*places: tuple[int, int]) -> np.ndarray:
    scores = np.zeros((len(places), *GRID.shape))
    for score, (top, left) in zip(scores, places, strict=True):
        score[GRID.tops.index(top), GRID.lefts.index(left)] = 1
    return scores


def test_a_window_on_the_item_points_and_overlaps_fully() -> None:
    found = localise(best_at((8, 12)), GRID, scenes([8], [12]))
    assert found.hits.tolist() == [True]
    assert found.iou.tolist() == [1.0]


def test_pointing_asks_for_the_centre_and_iou_for_the_area() -> None:
    found = localise(best_at((12, 0), (16, 0)), GRID, scenes([0, 0], [0, 0]))
    assert found.hits.tolist() == [True, False]  # the centres are 26 and 30 px down, the item ends at 28
    shared = 28 * 16
    assert found.iou[0] == pytest.approx(shared / (2 * 28 * 28 - shared))


def test_the_interval_of_a_constant_is_that_constant_and_of_a_coin_holds_its_mean() -> None:
    assert interval(np.ones(50)) == (1.0, 1.0)
    coin = np.arange(400) % 2 == 0
    low, high = interval(coin)
    assert low < 0.5 < high
    assert high - low == pytest.approx(4 * 0.5 / 20, rel=0.15)  # ± 2 standard errors


def test_the_lead_over_the_brightest_window_is_paired_and_on_decoys_alone() -> None:
    decoys = np.array([False, True, True])
    iou = np.zeros(3)
    rows = summary(
        [
            Measured("brightest window", 0, Localisation(np.array([True, False, True]), iou, decoys)),
            Measured("rotating", 24, Localisation(np.array([False, True, True]), iou, decoys)),
        ],
        np.arange(3),
    )
    assert rows[1]["lead_on_decoys"] == pytest.approx(0.5)
    assert rows[1]["pointing"] == pytest.approx(2 / 3)


def test_centring_puts_a_window_on_the_item_that_the_grid_misses() -> None:
    """A white item at (10, 14), the grid's nearest window at (8, 12): off by two pixels each way, then by one."""
    images = np.zeros((1, 64, 64), np.uint8)
    images[0, 10:38, 14:42] = 255
    shown = Scenes(images, np.zeros(1, np.int64), np.array([10]), np.array([14]), np.array([True]), np.array([28]))
    boxes = best_boxes(best_at((8, 12)), GRID)
    assert localise_boxes(boxes, shown).iou[0] == pytest.approx(26 * 26 / (2 * 28 * 28 - 26 * 26))
    delta = np.zeros((1, 16, 16), np.float32)
    delta[0, 2:9, 3:10] = 1
    setting = WindowSetting(rule("rotating"), 0.0, (28,), 4)
    assert boxes_of_maps(delta, shown, setting) == boxes
    centred = boxes_of_maps(delta, shown, replace(setting, centring="contrast"))
    assert centred == [Box(9, 13, 28, 28)], "the middle of what it saw of the item, 26 px of it"
    assert localise_boxes(centred, shown).iou[0] == pytest.approx(27 * 27 / (2 * 28 * 28 - 27 * 27))
    assert localise(best_at((8, 12)), GRID, shown).hits.tolist() == [True]


def test_the_repositorys_own_setting_is_marked_and_no_other() -> None:
    found = Localisation(np.array([True, True]), np.ones(2), np.array([True, False]))
    names = ("brightest window", "rotating", "rotating, centred")
    rows = summary([Measured(name, 24, found) for name in names], np.arange(2))
    assert [line.split("|")[1].strip() for line in markdown(rows, "rotating, centred").splitlines()[2:]] == [
        "brightest window",
        "rotating",
        "**rotating, centred**",
    ]
