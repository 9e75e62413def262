"""The one door to the windows: settings of repositories and stores, and the choice against its pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selector.config import ScoreConfig
from selector.localisation.centring import placement
from selector.localisation.choice import WindowSetting, chosen_windows, setting_of, setting_of_store
from selector.localisation.typicality import rule
from selector.localisation.windows import box_means, brightness_z, window_grid
from selector.records import Box
from selector.scoring.settings import fingerprint, settings_of
from tests.selector.localisation.plain_choice import best_windows
from tests.toy_repository import IDENTITY

RNG = np.random.default_rng(0)
DELTA = RNG.normal(size=(16, 16)).astype(np.float32)
CANVAS = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
VALID = Box(8, 0, 48, 64)
PLAIN = WindowSetting(rule("rotating"), 0.7, (28,), 4)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"rule": "null-weighted", "prior_weight": 0.25},
        {"centring": "contrast"},
        {"patch_fraction": (0.5, 0.25, 0.75), "rule": "rotating-brightness"},
    ],
)
def test_a_store_chooses_windows_as_the_run_that_scored_it(asked: dict[str, Any]) -> None:
    settings = settings_of(IDENTITY, ScoreConfig(Path(), Path(), Path(), draws=4, **asked))
    assert setting_of_store(fingerprint(IDENTITY, settings)) == settings.windows


def test_a_setting_is_the_repositorys_own_but_for_what_is_named() -> None:
    own = setting_of(IDENTITY)
    assert (own.rule.name, own.prior_weight, own.stride_px) == (IDENTITY.rule, IDENTITY.prior_weight, 1)
    assert own.sides == (round(IDENTITY.window_fraction * IDENTITY.resolution),)
    other = setting_of(IDENTITY, rule_name="null", prior_weight=0.0, fractions=(0.75, 0.25), centring="contrast")
    assert other == WindowSetting(rule("null"), 0.0, (4, 12), 1, "contrast")
    with pytest.raises(KeyError, match="no scoring rule 'wild'"):
        setting_of(IDENTITY, rule_name="wild")


@pytest.mark.parametrize("name", ["rotating", "rotating-brightness"])
@pytest.mark.parametrize("centring", ["none", "contrast"])
def test_windows_are_those_of_the_plain_search_scored_where_they_are(name: str, centring: str) -> None:
    setting = replace(PLAIN, rule=rule(name), centring=centring)
    prior = np.float32(0.7) * brightness_z(CANVAS, window_grid(64, 28, 4, VALID)) if name != "rotating" else None
    wanted = best_windows(DELTA, 64, 28, 4, 3, VALID, prior, placement(centring, CANVAS, VALID))
    found = chosen_windows(DELTA, CANVAS, VALID, setting, 3)
    assert [window.box for window in found] == [window.box for window in wanted]
    assert [window.typicality for window in found] == [float(box_means(DELTA, w.box, 64)) for w in wanted]


def test_windows_beside_taken_ones_are_those_that_follow_them() -> None:
    first, *rest = chosen_windows(DELTA, CANVAS, VALID, PLAIN, 5)
    assert tuple(rest) == chosen_windows(DELTA, CANVAS, VALID, PLAIN, 4, [first.box])


@pytest.mark.parametrize("sides", [(28,), (20, 28)])
def test_a_map_that_is_not_finite_is_refused(sides: tuple[int, ...]) -> None:
    delta = DELTA.copy()
    delta[1, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        chosen_windows(delta, CANVAS, VALID, replace(PLAIN, sides=sides), 1)
