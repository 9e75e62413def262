"""Checks of rows before they are sent and of answers before they are believed."""

from __future__ import annotations

import numpy as np
import pytest

from client import contract
from client.delivery.validation import check_row, split_outputs
from client.errors import ContractError, RowError
from client.rows import Answer, Failure, Row, encode_row, feature_row, loss_row
from client.wire import check_outputs
from tests.toy_repository import GEOMETRY

MODELS = contract.models(GEOMETRY)
LATENT = np.zeros((3, 4, 4), np.float32)
IMAGE = np.zeros((16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    "row", [encode_row("a", IMAGE), feature_row("a", IMAGE, 3), loss_row("a", LATENT, 3, 0, 3)], ids=lambda r: r.model
)
def test_the_builders_make_rows_that_pass(row: Row) -> None:
    """With the greatest indices that exist."""
    check_row(row, MODELS)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            loss_row("k7", LATENT.astype(np.float64), 1, 0, 0),
            ("k7", "LATENT", "float32 [3, 4, 4]", "float64 [3, 4, 4]"),
        ),
        (loss_row("k7", LATENT[:2], 1, 0, 0), ("k7", "LATENT", "[3, 4, 4]", "[2, 4, 4]")),
        (loss_row("k7", LATENT, 4, 0, 0), ("k7", "PROMPT_ID", "0 to 3", "got 4")),
        (loss_row("k7", LATENT, 0, -1, 0), ("k7", "REFERENCE_ID", "0 to 3", "got -1")),
        (loss_row("k7", LATENT, 0, 0, 4), ("k7", "DRAW", "0 to 3", "got 4")),
        (feature_row("k7", IMAGE[..., :1], 1), ("k7", "IMAGE", "uint8 [16, 16, 3]", "uint8 [16, 16, 1]")),
        (Row("noise_loss", "k7", {"LATENT": LATENT}), ("k7", "inputs", "PROMPT_ID", "['LATENT']")),
        (Row("no_such_model", "k7", {}), ("k7", "no_such_model", "noise_loss")),
    ],
)
def test_a_wrong_row_is_refused_with_its_key_and_what_was_expected(row: Row, words: tuple[str, ...]) -> None:
    """The message names the row, the input, the expected and the given."""
    with pytest.raises(RowError) as caught:
        check_row(row, MODELS)
    assert all(word in str(caught.value) for word in words)


def test_nan_fails_its_own_row_alone() -> None:
    """Neighbours in the batch keep their answers."""
    rows = [Row("noise_loss", key, {}) for key in "abc"]
    delta = np.zeros((3, 4, 4), np.float32)
    loss = np.arange(3, dtype=np.float32).reshape(3, 1)
    delta[1, 2, 3] = np.nan
    loss[2] = np.inf
    first, second, third = split_outputs(rows, {"DELTA": delta, "LOSS_PROMPT": loss})
    assert isinstance(first, Answer)
    assert first.outputs["LOSS_PROMPT"] == [0]
    assert second == Failure("b", "the server's DELTA holds NaN or Inf")
    assert third == Failure("c", "the server's LOSS_PROMPT holds NaN or Inf")


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({}, ("FEATURE", "float32 [2, 3]", "nothing")),
        ({"FEATURE": np.zeros((2, 4), np.float32)}, ("FEATURE", "float32 [2, 3]", "float32 [2, 4]")),
        ({"FEATURE": np.zeros((1, 3), np.float32)}, ("FEATURE", "float32 [2, 3]", "float32 [1, 3]")),
    ],
)
def test_an_answer_of_another_shape_breaks_the_contract(outputs: dict[str, np.ndarray], words: tuple[str, ...]) -> None:
    """Expected against answered."""
    with pytest.raises(ContractError) as caught:
        check_outputs(MODELS[contract.PATCH_FEATURES], 2, outputs)
    assert all(word in str(caught.value) for word in words)
