"""What can be measured: one model through `ScoringClient`, any other model over the wire, the whole scoring path.

A model of the contract goes through the client as its users do: checking, packing, retries and validation of answers
are part of the measurement.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client import contract
from client.contract import Geometry, Model
from client.errors import ServerError
from client.rows import Answer, Failure, Result, Row, encode_row, feature_row, loss_row
from client.scoring import ScoringClient
from client.wire import Connection, Remedy, WireError, check_outputs, remedy

SCORING_PATH = "scoring-path"
_TIMEOUT_S = 60.0


class ClientTarget:
    """One request is one `score` call of as many rows as a request has, which travel together."""

    def __init__(self, client: ScoringClient, requests: Sequence[tuple[Row, ...]]) -> None:
        self._client = client
        self._requests = requests
        self.rows = len(requests[0])

    async def send(self, number: int) -> str:
        """Sends the request; returns the first failed row's reason. Raises what the client raises."""
        failures, _ = await _collect(self._client, self._requests[number % len(self._requests)])
        return failures


class WireTarget:
    """A model outside the contract: no packing, no retries, servers in turn."""

    def __init__(self, connections: Sequence[Connection], model: Model, requests: Sequence[tuple[Row, ...]]) -> None:
        self._turns = itertools.cycle(connections)
        self._model = model
        self._requests: list[list[Mapping[str, NDArray[Any]]]] = [[row.inputs for row in rows] for rows in requests]
        self.rows = len(requests[0])

    async def send(self, number: int) -> str:
        """Sends the request; returns the error if another request might fare better, raises ServerError if none."""
        rows = self._requests[number % len(self._requests)]
        try:
            outputs = await next(self._turns).infer(self._model, rows, _TIMEOUT_S)
        except WireError as error:
            if remedy(error.status, error.message) is Remedy.STOP:
                raise ServerError(f"{self._model.name}: {error}") from error
            return str(error)
        check_outputs(self._model, len(rows), outputs)
        return ""


class ScoringPath:
    """What the selector asks for a shard of images: all latents, then all draws of all images, then all features.

    One request is one shard of `images` images. rows: over the three models, images × (draws + 2).
    """

    def __init__(self, client: ScoringClient, images: int, draws: int, seed: int) -> None:
        self._client = client
        self._draws = draws
        self._geometry: Geometry = client.geometry
        side = self._geometry.resolution
        self._images = np.random.default_rng(seed).integers(0, 256, (images, side, side, 3), dtype=np.uint8)
        self.rows = images * (draws + 2)

    async def send(self, number: int) -> str:
        """Scores and describes a shard; returns the first failed row's reason. Raises what the client raises."""
        count = len(self._images)
        failure, answers = await _collect(self._client, (encode_row(i, self._images[i]) for i in range(count)))
        if failure:
            return failure
        latents = {answer.key: answer.outputs["LATENT"] for answer in answers}
        failure, _ = await _collect(
            self._client,
            (
                loss_row((i, draw), latents[i], self._prompt(number, i), self._reference(number, i, draw), draw)
                for i in range(count)
                for draw in range(self._draws)
            ),
        )
        if failure:
            return failure
        crops = (feature_row(i, self._images[i], self._prompt(number, i)) for i in range(count))
        failure, _ = await _collect(self._client, crops)
        return failure

    def _prompt(self, number: int, image: int) -> int:
        return (number + image) % self._geometry.classes + 1

    def _reference(self, number: int, image: int, draw: int) -> int:
        return (self._prompt(number, image) + draw) % self._geometry.classes + 1  # another one per draw, as in rotating


def path_models() -> tuple[str, ...]:
    """The models that the scoring path asks."""
    return contract.VAE_ENCODER, contract.NOISE_LOSS, contract.PATCH_FEATURES


async def _collect(client: ScoringClient, rows: Iterable[Row]) -> tuple[str, list[Answer]]:
    results: list[Result] = [result async for result in client.score(rows)]
    reason = next((result.reason for result in results if isinstance(result, Failure)), "")
    return reason, [result for result in results if isinstance(result, Answer)]
