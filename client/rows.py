"""The values that go into and come out of the client: rows, answers, failures. Arrays have no batch axis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client import contract


@dataclass(frozen=True, eq=False)
class Row:
    """One row for `model`; `key` comes back with its result. inputs: input name → array of one row."""

    model: str
    key: Hashable
    inputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model computed for the row of this key.

    outputs: output name → array of one row; all finite, read-only, and views of the whole response.
    """

    key: Hashable
    outputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Failure:
    """Why the row of this key has no answer, though its neighbours have theirs.

    lasting: whether it lies in the row, so that any server would answer the same; False is a server's trouble, which may pass.
    """

    key: Hashable
    reason: str
    lasting: bool = True


Result = Answer | Failure


def encode_row(key: Hashable, image: NDArray[np.uint8]) -> Row:
    """A row of `vae_encoder`: image uint8 [S, S, 3] → LATENT."""
    return Row(contract.VAE_ENCODER, key, {"IMAGE": image})


def loss_row(key: Hashable, latent: NDArray[np.float32], prompt_id: int, reference_id: int, draw: int) -> Row:
    """A row of `noise_loss`: latent float32 [C, h, w] → DELTA, LOSS_PROMPT, LOSS_REFERENCE.

    Prompt and reference are rows of the prompt table: 0 is the null prompt, class_id + 1 the class.
    """
    indices = {"PROMPT_ID": _index(prompt_id), "REFERENCE_ID": _index(reference_id), "DRAW": _index(draw)}
    return Row(contract.NOISE_LOSS, key, {"LATENT": latent, **indices})


def feature_row(key: Hashable, image: NDArray[np.uint8], prompt_id: int) -> Row:
    """A row of `patch_features`: image uint8 [S, S, 3] → FEATURE."""
    return Row(contract.PATCH_FEATURES, key, {"IMAGE": image, "PROMPT_ID": _index(prompt_id)})


def _index(value: int) -> NDArray[np.int32]:
    return np.array([value], dtype=np.int32)
