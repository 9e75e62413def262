"""The one door to the windows of an image: by what setting they are chosen, and the choice.

Scoring, further patches, the gate of reduced precision, tuning and every table choose windows here. Owns what of a repository
or a store a setting takes. What windows are worth stands in windows.py and scales.py, where they move in centring.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from selector.localisation.centring import NONE, placement
from selector.localisation.scales import scored_grids
from selector.localisation.typicality import ScoringRule, rule
from selector.localisation.windows import (
    ScoredGrid,
    Window,
    box_means,
    brightness_z,
    choose_among,
    window_grid,
    window_means,
    window_scores,
)
from selector.records import Box


class Described(Protocol):
    """What a setting takes from a repository's identity (`client.contract.Identity`)."""

    @property
    def resolution(self) -> int: ...
    @property
    def window_fraction(self) -> float: ...
    @property
    def rule(self) -> str: ...
    @property
    def prior_weight(self) -> float: ...
    @property
    def centring(self) -> str: ...
    @property
    def no_null(self) -> str: ...


@dataclass(frozen=True)
class WindowSetting:
    """How windows are chosen. sides, stride_px: canvas pixels; several sides, ascending, are windows of several sizes.

    prior_weight: of the rule's label-free prior. centring: one of `centring.CENTRINGS`.
    """

    rule: ScoringRule
    prior_weight: float
    sides: tuple[int, ...]
    stride_px: int
    centring: str = NONE

    @property
    def middle_px(self) -> int:
        """The side, of several the middle one."""
        return self.sides[len(self.sides) // 2]


def setting_of(
    identity: Described,
    *,
    rule_name: str | None = None,
    prior_weight: float | None = None,
    fractions: Sequence[float] = (),
    centring: str | None = None,
) -> WindowSetting:
    """The repository's own setting, but for what is named. fractions: sides of windows as fractions of the canvas.

    Raises KeyError for a rule that is not known, or that the repository can't be scored by.
    """
    size = identity.resolution
    sides = {max(1, round(fraction * size)) for fraction in fractions or (identity.window_fraction,)}
    chosen = rule(rule_name or identity.rule)
    if chosen.reference == "null" and identity.no_null:
        raise KeyError(
            f"the rule {chosen.name!r} needs a prompt without a class, and {identity.no_null}: take 'rotating'"
        )
    return WindowSetting(
        chosen,
        identity.prior_weight if prior_weight is None else prior_weight,
        tuple(sorted(sides)),
        max(1, size // 16),
        centring or identity.centring,
    )


def setting_of_store(mark: Mapping[str, Any]) -> WindowSetting:
    """The setting that a store was scored by, from its fingerprint."""
    sides = tuple(mark.get("scales", (mark["window_px"],)))
    centring = str(mark.get("centring", NONE))
    return WindowSetting(rule(mark["rule"]), float(mark["prior_weight"]), sides, int(mark["stride_px"]), centring)


def chosen_windows(
    delta: NDArray[np.float32],
    canvas: NDArray[np.uint8],
    valid: Box,
    setting: WindowSetting,
    count: int,
    taken: Sequence[Box] = (),
) -> tuple[Window, ...]:
    """Up to `count` windows of an image, best first, without overlap among themselves and with the boxes that are taken.

    delta: float32 [h, w], the mean delta map; raises ValueError if it is not finite. canvas: uint8 [S, S, 3]. valid: the part
    of it that shows image. A window's typicality is the mean delta over the box that is handed back, wherever that was moved.
    """
    if not np.isfinite(delta).all():
        raise ValueError("the delta map is not finite")
    place = placement(setting.centring, canvas, valid)
    chosen = choose_among(_scored(delta, canvas, valid, setting), count, taken, place)
    if place is None:
        return chosen
    return tuple(replace(w, typicality=float(box_means(delta, w.box, len(canvas)))) for w in chosen)


def _scored(
    delta: NDArray[np.float32], canvas: NDArray[np.uint8], valid: Box, setting: WindowSetting
) -> Sequence[ScoredGrid]:
    """All windows with what they are chosen by."""
    has_prior = setting.rule.prior == "brightness"
    if len(setting.sides) > 1:
        weight = setting.prior_weight if has_prior else 0.0
        return scored_grids(delta, canvas, setting.sides, setting.stride_px, valid, weight)
    grid = window_grid(len(canvas), setting.sides[0], setting.stride_px, valid)
    means = window_means(delta, grid)
    prior = np.float32(setting.prior_weight) * brightness_z(canvas, grid) if has_prior else None
    return (ScoredGrid(grid, means, window_scores(means, prior)),)
