"""What the gate and table of localisation refuse, and the rule that asks for colour."""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np
import pytest

from benchmarks.localisation.quality import refuse_other_classes, saturation_z
from benchmarks.scenes.clipart import CLASS_NAMES
from selector.localisation.windows import window_grid
from tests.toy_repository import IDENTITY


def test_a_repository_of_other_classes_is_refused_with_both_lists() -> None:
    colour = replace(IDENTITY, classes=CLASS_NAMES, prompts=("", *CLASS_NAMES))
    refuse_other_classes(colour, "colour")
    with pytest.raises(click.ClickException, match=r"animal.*the world 'grey' has t-shirt"):
        refuse_other_classes(colour, "grey")


def test_the_most_saturated_window_is_the_red_one_not_the_white_one() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    image[:16, :16] = 255
    image[48:, 48:] = (200, 0, 0)
    scores = saturation_z(image, window_grid(64, 16, 16))
    assert np.unravel_index(scores.argmax(), scores.shape) == (3, 3)
