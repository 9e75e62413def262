"""Delta maps of single draws of images, from a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from client.errors import ServerError
from client.rows import Failure, Row, encode_row, loss_row
from client.scoring import ScoringClient


async def draw_maps(
    client: ScoringClient,
    images: Sequence[NDArray[np.uint8]],
    prompts: Sequence[int],
    references: NDArray[np.int32],
    numbers: Sequence[int],
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """float32 [n, draws, h, w] in the images' order.

    images: n × uint8 [S, S, 3]. prompts: a row of the prompt table each. references: rows to contrast it with, int32
    [n, draws]. numbers: of the draws in the bank. advance: called with the number of UNet evaluations that were answered.
    Raises ServerError for a row that fails.
    """
    latents = await _answers(client, "LATENT", (encode_row((i,), image) for i, image in enumerate(images)))

    def rows() -> Iterator[Row]:
        for (i,), latent in sorted(latents.items()):
            for place, draw in enumerate(numbers):
                yield loss_row((i, place), latent, prompts[i], int(references[i, place]), draw)

    answers = await _answers(client, "DELTA", rows(), advance)
    maps = np.stack([answers[i, place] for i in range(len(images)) for place in range(len(numbers))])
    return maps.reshape(len(images), len(numbers), *maps.shape[1:])


async def _answers(
    client: ScoringClient, output: str, rows: Iterator[Row], advance: Callable[[int], None] = lambda _: None
) -> dict[tuple[int, ...], NDArray[np.float32]]:
    found: dict[tuple[int, ...], NDArray[np.float32]] = {}
    async for outcome in client.score(rows):
        if isinstance(outcome, Failure):
            raise ServerError(f"row {outcome.key} failed: {outcome.reason}")
        found[cast(tuple[int, ...], outcome.key)] = outcome.outputs[output]
        advance(2)
    return found
