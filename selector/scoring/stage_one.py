"""Stage I of one shard: canvases → latents → loss rows of every draw → delta maps of single draws.

Answers are put in draw order, so the results do not depend on the order in which they arrive.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from client.rows import Answer, Failure, Result, Row, encode_row, loss_row
from selector.images.prepare import OK, Prepared
from selector.scoring.reduction import Drawn, ImageScore, canvas_of, failed, reduced
from selector.scoring.settings import ScoringSettings


class Scorer(Protocol):
    """What stage I and II need of the client."""

    def score(self, rows: Iterator[Row]) -> AsyncGenerator[Result, None]:
        """Outcomes of the rows in completion order."""


async def score_images(
    client: Scorer,
    settings: ScoringSettings,
    images: Sequence[Prepared],
    class_ids: Sequence[int],
    advance: Callable[[int], None],
) -> list[ImageScore]:
    """Scores the usable ones of the images, all of them accounted for in the input's order.

    `advance` is called with the number of UNet evaluations whenever some were answered.
    """
    failures = {i: Failure(i, image.reason) for i, image in enumerate(images) if image.status != OK}
    usable = [i for i in range(len(images)) if i not in failures]
    latents = await _latents(client, images, usable, failures)
    answers: dict[int, list[Answer | None]] = {i: [None] * settings.draws for i in latents}
    references = {c: settings.rule.references(c, settings.classes, settings.draws) for c in set(class_ids)}

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


async def _latents(
    client: Scorer, images: Sequence[Prepared], usable: Sequence[int], failures: dict[int, Failure]
) -> dict[int, NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}
    async for outcome in client.score(encode_row(i, canvas_of(images[i])) for i in usable):
        key = cast(int, outcome.key)
        if isinstance(outcome, Failure):
            failures[key] = Failure(key, f"encoding: {outcome.reason}", outcome.lasting)
        else:
            found[key] = outcome.outputs["LATENT"]
    return {i: found[i] for i in usable if i in found}


def _drawn(answers: Sequence[Answer | None]) -> Drawn:
    outputs = [answer.outputs for answer in answers if answer is not None]
    return Drawn(
        np.stack([output["DELTA"] for output in outputs]),
        tuple(float(output["LOSS_PROMPT"][0]) for output in outputs),
        tuple(float(output["LOSS_REFERENCE"][0]) for output in outputs),
    )
