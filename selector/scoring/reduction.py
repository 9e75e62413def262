"""From the delta maps of an image's draws to its mean map, its windows and their standard errors.

Owns the numbers of an image. Must not know rows, servers or files. A window that is moved (centring) has the typicality and the
error of the box that is handed back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selector.images.canvas import CanvasMap
from selector.images.prepare import FAILED, OK, UNREAD, Prepared
from selector.localisation.centring import NONE, placement
from selector.localisation.scales import scored_grids
from selector.localisation.typicality import reduce_deltas, window_standard_error
from selector.localisation.windows import (
    Place,
    Window,
    WindowGrid,
    best_windows,
    box_means,
    brightness_z,
    choose_among,
    window_grid,
)
from selector.records import Box
from selector.scoring.plan import Plan


@dataclass(frozen=True)
class Drawn:
    """An image's answers in draw order. deltas: float32 [draws, h, w]. losses_prompt, losses_reference: one per draw."""

    deltas: NDArray[np.float32]
    losses_prompt: tuple[float, ...]
    losses_reference: tuple[float, ...]


@dataclass(frozen=True)
class ScoredWindow:
    """A chosen window: its box on the canvas and on the original image, typicality and the standard error of it."""

    canvas: Box
    original: Box
    typicality: float
    standard_error: float


@dataclass(frozen=True)
class ImageScore:
    """The outcome of one image; `windows` and `losses` are empty and `delta` is None unless status is ok.

    delta: float32 [h, w], mean delta map. losses_prompt, losses_reference: one per draw. windows: best first. draws: how many
    it was scored by. unet_rows: UNet evaluations spent on it now, whatever came of them.
    """

    prepared: Prepared
    class_id: int
    delta: NDArray[np.float32] | None = None
    losses_prompt: tuple[float, ...] = ()
    losses_reference: tuple[float, ...] = ()
    windows: tuple[ScoredWindow, ...] = ()
    draws: int = 0
    unet_rows: int = 0


def failed(image: Prepared, class_id: int, reason: str, unet_rows: int, *, lasting: bool = True) -> ImageScore:
    """The outcome of an image that can't be scored; a filtered one stays filtered.

    lasting: whether it lies in the image; otherwise its status is UNREAD.
    """
    status = image.status if image.status != OK else FAILED if lasting else UNREAD
    return ImageScore(replace(image, status=status, reason=reason), class_id, unet_rows=unet_rows)


def reduced(plan: Plan, image: Prepared, class_id: int, drawn: Drawn) -> ImageScore:
    """The outcome of an image that has the answers of all draws."""
    delta = reduce_deltas(drawn.deltas, plan.weights)
    windows = _windows(plan, image, drawn.deltas, delta)
    losses = drawn.losses_prompt, drawn.losses_reference
    return ImageScore(image, class_id, delta, *losses, windows, plan.draws, 2 * plan.draws)


def _windows(
    plan: Plan, image: Prepared, deltas: NDArray[np.float32], delta: NDArray[np.float32]
) -> tuple[ScoredWindow, ...]:
    place, valid = place_of(plan, image), _mapping(image).valid
    if plan.scales:
        weight = plan.prior_weight if plan.rule.prior == "brightness" else 0.0
        grids = scored_grids(delta, canvas_of(image), plan.scales, plan.stride_px, valid, weight)
        chosen = choose_among(grids, plan.patches_per_image, place=place)
    else:
        prior = prior_of(plan, image, grid_of(plan, image))
        side, stride = plan.window_px, plan.stride_px
        chosen = best_windows(delta, plan.resolution, side, stride, plan.patches_per_image, valid, prior, place)
    if plan.centring != NONE:
        means = [box_means(delta, window.box, plan.resolution) for window in chosen]
        chosen = tuple(replace(w, typicality=float(mean)) for w, mean in zip(chosen, means, strict=True))
    per_draw = [box_means(deltas, window.box, plan.resolution) for window in chosen]
    return _scored(plan, image, chosen, per_draw)


def _scored(
    plan: Plan, image: Prepared, chosen: tuple[Window, ...], per_draw: list[NDArray[np.float32]]
) -> tuple[ScoredWindow, ...]:
    mapping = _mapping(image)
    return tuple(
        ScoredWindow(
            window.box,
            mapping.to_original(window.box),
            window.typicality,
            float(window_standard_error(values, weights=plan.weights, timesteps=plan.timesteps)),
        )
        for window, values in zip(chosen, per_draw, strict=True)
    )


def grid_of(plan: Plan, image: Prepared) -> WindowGrid:
    """The windows of an image's canvas."""
    return window_grid(plan.resolution, plan.window_px, plan.stride_px, _mapping(image).valid)


def prior_of(plan: Plan, image: Prepared, grid: WindowGrid) -> NDArray[np.float32] | None:
    """The rule's label-free prior of every window, float32 of the grid's shape, by its weight; None if it has none."""
    if plan.rule.prior != "brightness":
        return None
    return np.float32(plan.prior_weight) * brightness_z(canvas_of(image), grid)


def place_of(plan: Plan, image: Prepared) -> Place | None:
    """Where the plan's centring puts the image's windows; None if they stay."""
    return placement(plan.centring, canvas_of(image), _mapping(image).valid)


def _mapping(image: Prepared) -> CanvasMap:
    if image.to_original is None:
        raise ValueError(f"{image.source} has no mapping to the original")
    return image.to_original


def canvas_of(image: Prepared) -> NDArray[np.uint8]:
    """The canvas of a usable image."""
    if image.canvas is None:
        raise ValueError(f"{image.source} has no canvas")
    return image.canvas
