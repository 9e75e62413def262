"""From the delta maps of an image's draws to its mean map, its windows and their standard errors.

A window that is moved (centring) has the typicality and the error of the box that is handed back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selector.images.prepare import FAILED, OK, UNREAD, Prepared
from selector.localisation.choice import chosen_windows
from selector.localisation.typicality import reduce_deltas, standard_error_of_any, window_standard_error
from selector.localisation.windows import box_means
from selector.records import Box
from selector.scoring.assignment import Assigned
from selector.scoring.settings import ScoringSettings


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
    it was scored by. unet_rows: UNet evaluations spent on it now, whatever came of them, without those of `assigned`. assigned:
    where its class comes from, if no label says it.
    """

    prepared: Prepared
    class_id: int
    delta: NDArray[np.float32] | None = None
    losses_prompt: tuple[float, ...] = ()
    losses_reference: tuple[float, ...] = ()
    windows: tuple[ScoredWindow, ...] = ()
    draws: int = 0
    unet_rows: int = 0
    assigned: Assigned | None = None


def failed(image: Prepared, class_id: int, reason: str, unet_rows: int, *, lasting: bool = True) -> ImageScore:
    """The outcome of an image that can't be scored; a filtered one stays filtered.

    lasting: whether it lies in the image; otherwise its status is UNREAD.
    """
    status = image.status if image.status != OK else FAILED if lasting else UNREAD
    return ImageScore(replace(image, status=status, reason=reason), class_id, unet_rows=unet_rows)


def reduced(settings: ScoringSettings, image: Prepared, class_id: int, drawn: Drawn) -> ImageScore:
    """The outcome of an image that has the answers of all draws."""
    delta = reduce_deltas(drawn.deltas, settings.weights)
    windows = _windows(settings, image, drawn.deltas, delta)
    losses = drawn.losses_prompt, drawn.losses_reference
    return ImageScore(image, class_id, delta, *losses, windows, settings.draws, 2 * settings.draws)


def _windows(
    settings: ScoringSettings, image: Prepared, deltas: NDArray[np.float32], delta: NDArray[np.float32]
) -> tuple[ScoredWindow, ...]:
    mapping = image.to_original
    if mapping is None:
        raise ValueError(f"{image.source} has no mapping to the original")
    chosen = chosen_windows(delta, canvas_of(image), mapping.valid, settings.windows, settings.patches_per_image)
    per_draw = [box_means(deltas, window.box, settings.resolution) for window in chosen]
    return tuple(
        ScoredWindow(
            window.box,
            mapping.to_original(window.box),
            window.typicality,
            _standard_error(settings, values),
        )
        for window, values in zip(chosen, per_draw, strict=True)
    )


def _standard_error(settings: ScoringSettings, values: NDArray[np.float32]) -> float:
    if settings.timesteps is None:
        return float(standard_error_of_any(values, settings.weights))
    return float(window_standard_error(values, weights=settings.weights, timesteps=settings.timesteps))


def canvas_of(image: Prepared) -> NDArray[np.uint8]:
    """The canvas of a usable image."""
    if image.canvas is None:
        raise ValueError(f"{image.source} has no canvas")
    return image.canvas
