"""The table of window sizes, from scenes and boxes made by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.localisation.pointing import boxes_of_maps
from benchmarks.localisation.scale_table import rows
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.worlds import Drawn
from selector.localisation.choice import setting_of
from selector.records import Box
from tests.toy_repository import IDENTITY

SCENES = Scenes(
    images=np.zeros((4, 16, 16), np.uint8),
    labels=np.zeros(4, np.int64),
    tops=np.zeros(4, np.int64),
    lefts=np.array([0, 0, 4, 8]),
    decoys=np.array([True, False, True, False]),
    sides=np.array([8, 4, 8, 8]),
)


def means() -> list[np.ndarray]:
    """1 where the item is, of cells of one pixel."""
    maps = np.zeros((4, 16, 16), np.float32)
    for one, left, side in zip(maps, SCENES.lefts, SCENES.sides, strict=True):
        one[:side, left : left + side] = 1
    return list(maps)


def test_several_sizes_find_the_small_item_that_one_size_takes_with_its_surroundings() -> None:
    several = boxes_of_maps(means(), SCENES, setting_of(IDENTITY, fractions=(0.25, 0.5)))
    assert several == [Box(0, 0, 8, 8), Box(0, 0, 4, 4), Box(0, 4, 8, 8), Box(0, 8, 8, 8)]
    one = boxes_of_maps(means(), SCENES, setting_of(IDENTITY, fractions=(0.5,)))
    assert one == [Box(0, 0, 8, 8), Box(0, 0, 8, 8), Box(0, 4, 8, 8), Box(0, 8, 8, 8)]
    first, second = rows("mixed", Drawn(SCENES, np.arange(4)), {"one": one, "several": several})
    assert [cell.strip().split(" ")[0] for cell in first.split("|")[1:-1]] == [
        *("mixed", "one", "0.750", "1.000", "0.812"),  # the centre of the large window is the corner of the small item
        *("", ""),
    ]
    assert [cell.strip().split(" ")[0] for cell in second.split("|")[3:-1]] == [
        *("1.000", "1.000", "1.000", "+0.250", "+0.188"),
    ]
