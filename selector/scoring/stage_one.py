"""Stage I of one shard: canvases → latents → loss rows of every draw → delta maps of single draws.

Answers are put in draw order, so the results do not depend on the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from client.rows import Answer, Failure, Result, Row, encode_row, loss_row
from selector.images.prepare import FAILED, OK, UNREAD, Prepared
from selector.scoring.reduction import Drawn, ImageScore, canvas_of, failed, reduced
from selector.scoring.settings import ScoringSettings


class Scorer(Protocol):
    """What stage I and II need of the client."""

    def score(self, rows: Iterator[Row]) -> AsyncGenerator[Result, None]:
        """Outcomes of the rows in completion order."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """images: all of a shard, in order. latents: place → latent of the usable ones, float32 [C, h, w]."""

    images: tuple[Prepared, ...]
    latents: Mapping[int, NDArray[np.float32]]

    def without(self, lost: Mapping[int, tuple[str, str]]) -> Encoded:
        """With some that are no longer usable: place → status and reason."""
        images = list(self.images)
        for i, (status, reason) in lost.items():
            images[i] = replace(images[i], status=status, reason=reason)
        return Encoded(tuple(images), {i: latent for i, latent in self.latents.items() if i not in lost})


async def encode_images(client: Scorer, images: Sequence[Prepared]) -> Encoded:
    """The latents of the usable images; one that can't be encoded has failed."""
    usable = [i for i, image in enumerate(images) if image.status == OK]
    found: dict[int, NDArray[np.float32]] = {}
    lost: dict[int, tuple[str, str]] = {}
    async for outcome in client.score(encode_row(i, canvas_of(images[i])) for i in usable):
        key = cast(int, outcome.key)
        if isinstance(outcome, Failure):
            lost[key] = FAILED if outcome.lasting else UNREAD, f"encoding: {outcome.reason}"
        else:
            found[key] = outcome.outputs["LATENT"]
    return Encoded(tuple(images), {i: found[i] for i in usable if i in found}).without(lost)


async def score_images(
    client: Scorer,
    settings: ScoringSettings,
    encoded: Encoded,
    class_ids: Sequence[int],
    advance: Callable[[int], None],
) -> list[ImageScore]:
    """Scores the usable ones of the images, all of them accounted for in the input's order.

    `advance` is called with the number of UNet evaluations whenever some were answered.
    """
    images, latents = encoded.images, encoded.latents
    failures = {i: Failure(i, image.reason) for i, image in enumerate(images) if i not in latents}
    answers: dict[int, list[Answer | None]] = {i: [None] * settings.draws for i in latents}
    used = {class_ids[i] for i in latents}
    references = {c: settings.rule.references(c, settings.classes, settings.draws) for c in used}

    def rows() -> Iterator[Row]:
        for i, latent in latents.items():
            for place, draw in enumerate(settings.numbers):
                yield loss_row((i, place), latent, class_ids[i] + 1, int(references[class_ids[i]][place]), draw)

    async for outcome in client.score(rows()):
        i, place = cast(tuple[int, int], outcome.key)
        if isinstance(outcome, Failure):
            failures.setdefault(i, Failure(i, f"draw {settings.numbers[place]}: {outcome.reason}", outcome.lasting))
        else:
            answers[i][place] = outcome
        advance(2)
    return [
        failed(
            image,
            class_ids[i],
            failures[i].reason,
            2 * settings.draws if i in latents else 0,
            lasting=failures[i].lasting,
        )
        if i in failures
        else reduced(settings, image, class_ids[i], _drawn(answers[i]))
        for i, image in enumerate(images)
    ]


def _drawn(answers: Sequence[Answer | None]) -> Drawn:
    outputs = [answer.outputs for answer in answers if answer is not None]
    return Drawn(
        np.stack([output["DELTA"] for output in outputs]),
        tuple(float(output["LOSS_PROMPT"][0]) for output in outputs),
        tuple(float(output["LOSS_REFERENCE"][0]) for output in outputs),
    )
