"""Stage I of one shard: canvases → latents → loss rows → mean delta maps → chosen windows.

Owns the numbers of an image. Must not know files, shards' numbers or how the server is reached. Rows are reduced in draw
order, so the results do not depend on the order in which answers arrive.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from client.rows import Answer, Failure, Result, Row, encode_row, loss_row
from selector.images.prepare import FAILED, OK, Prepared
from selector.records import Box
from selector.scoring.plan import Plan
from selector.scoring.typicality import reduce_deltas, window_standard_error
from selector.scoring.windows import best_windows, box_means, brightness_z, window_grid


class Scorer(Protocol):
    """What stage I and II need of the client."""

    def score(self, rows: Iterator[Row]) -> AsyncGenerator[Result, None]:
        """Outcomes of the rows in completion order."""


@dataclass(frozen=True)
class ImageScore:
    """The outcome of one image; `windows` and `losses` are empty and `delta` is None unless status is ok.

    delta: float32 [h, w], mean delta map. losses_prompt, losses_reference: one per draw. windows: best first.
    unet_rows: UNet evaluations spent on it, whatever came of them.
    """

    prepared: Prepared
    class_id: int
    delta: NDArray[np.float32] | None = None
    losses_prompt: tuple[float, ...] = ()
    losses_reference: tuple[float, ...] = ()
    windows: tuple[ScoredWindow, ...] = ()
    unet_rows: int = 0


@dataclass(frozen=True)
class ScoredWindow:
    """A chosen window: its box on the canvas and on the original image, typicality and the standard error of it."""

    canvas: Box
    original: Box
    typicality: float
    standard_error: float


async def score_images(
    client: Scorer,
    plan: Plan,
    images: Sequence[Prepared],
    class_ids: Sequence[int],
    advance: Callable[[int], None],
) -> list[ImageScore]:
    """Scores the usable ones of the images, all of them accounted for in the input's order.

    `advance` is called with the number of UNet evaluations whenever some were answered.
    """
    failures = {i: image.reason for i, image in enumerate(images) if image.status != OK}
    usable = [i for i in range(len(images)) if i not in failures]
    latents = await _latents(client, images, usable, failures)
    answers: dict[int, list[Answer | None]] = {i: [None] * plan.draws for i in latents}
    references = {c: plan.rule.references(c, plan.classes, plan.draws) for c in set(class_ids)}

    def rows() -> Iterator[Row]:
        for i, latent in latents.items():
            for draw in range(plan.draws):
                yield loss_row((i, draw), latent, class_ids[i] + 1, int(references[class_ids[i]][draw]), draw)

    async for outcome in client.score(rows()):
        i, draw = cast(tuple[int, int], outcome.key)
        if isinstance(outcome, Failure):
            failures.setdefault(i, f"draw {draw}: {outcome.reason}")
        else:
            answers[i][draw] = outcome
        advance(2)
    return [
        _failed(image, class_ids[i], failures[i], plan.unet_rows_per_image if i in latents else 0)
        if i in failures
        else _reduced(plan, image, class_ids[i], answers[i])
        for i, image in enumerate(images)
    ]


async def _latents(
    client: Scorer, images: Sequence[Prepared], usable: Sequence[int], failures: dict[int, str]
) -> dict[int, NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}
    async for outcome in client.score(encode_row(i, _canvas(images[i])) for i in usable):
        key = cast(int, outcome.key)
        if isinstance(outcome, Failure):
            failures[key] = f"encoding: {outcome.reason}"
        else:
            found[key] = outcome.outputs["LATENT"]
    return {i: found[i] for i in usable if i in found}


def _failed(image: Prepared, class_id: int, reason: str, unet_rows: int) -> ImageScore:
    status = FAILED if image.status == OK else image.status
    return ImageScore(replace(image, status=status, reason=reason), class_id, unet_rows=unet_rows)


def _reduced(plan: Plan, image: Prepared, class_id: int, answers: Sequence[Answer | None]) -> ImageScore:
    outputs = [answer.outputs for answer in answers if answer is not None]
    deltas = np.stack([output["DELTA"] for output in outputs])
    delta = reduce_deltas(deltas, plan.weights)
    return ImageScore(
        image,
        class_id,
        delta,
        tuple(float(output["LOSS_PROMPT"][0]) for output in outputs),
        tuple(float(output["LOSS_REFERENCE"][0]) for output in outputs),
        _windows(plan, image, deltas, delta),
        plan.unet_rows_per_image,
    )


def _windows(
    plan: Plan, image: Prepared, deltas: NDArray[np.float32], delta: NDArray[np.float32]
) -> tuple[ScoredWindow, ...]:
    mapping = image.to_original
    if mapping is None:
        raise ValueError(f"{image.source} has no mapping to the original")
    grid = window_grid(plan.resolution, plan.window_px, plan.stride_px, mapping.valid)
    prior = (
        np.float32(plan.prior_weight) * brightness_z(_canvas(image), grid) if plan.rule.prior == "brightness" else None
    )
    chosen = best_windows(
        delta, plan.resolution, plan.window_px, plan.stride_px, plan.patches_per_image, mapping.valid, prior
    )
    return tuple(
        ScoredWindow(
            window.box,
            mapping.to_original(window.box),
            window.typicality,
            float(
                window_standard_error(
                    box_means(deltas, window.box, plan.resolution), weights=plan.weights, timesteps=plan.timesteps
                )
            ),
        )
        for window in chosen
    )


def _canvas(image: Prepared) -> NDArray[np.uint8]:
    if image.canvas is None:
        raise ValueError(f"{image.source} has no canvas")
    return image.canvas
