"""Golden rows travel as a parameter of a config, and say how far an answer is off."""

from __future__ import annotations

import json
from math import inf

import numpy as np
import pytest

from client import contract
from client.errors import ContractError
from client.golden import Golden, compare, cycled, expected, golden_of, golden_parameters, inputs

GEOMETRY = contract.Geometry(resolution=16, latent=(3, 4, 4), prompt=(2, 5), feature=3, draws=4, classes=3)
MODEL = contract.models(GEOMETRY)[contract.NOISE_LOSS]
RNG = np.random.default_rng(3)
OUTPUTS = {
    "DELTA": RNG.standard_normal((4, 4, 4)).astype(np.float32),
    "LOSS_PROMPT": RNG.random((4, 1)).astype(np.float32),
}
GOLDEN = Golden(0, 4, {name: expected(name, array, 1e-3) for name, array in OUTPUTS.items()}, {"COND": 0.3}, "numpy")


def sizes(outputs: dict[str, np.ndarray], rows: list[int] | None = None) -> dict[str, float]:
    return {one.tensor: one.size for one in compare(GOLDEN, outputs, rows)}


def test_a_record_comes_back_from_the_parameters_as_it_was() -> None:
    """Exactly: float32 values are written by their shortest decimals."""
    parameters = golden_parameters(GOLDEN)
    assert golden_of(parameters) == GOLDEN
    assert golden_of({**parameters, "spec_version": "1"}) == GOLDEN


def test_a_config_without_golden_rows_or_of_another_recipe_has_none() -> None:
    """Those of a later version can't be made again, so nothing is compared with them."""
    (key,) = golden_parameters(GOLDEN)
    later = json.loads(golden_parameters(GOLDEN)[key]) | {"recipe": 2}
    assert golden_of({}) is None
    assert golden_of({key: json.dumps(later)}) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 1}', '{"recipe": 1, "outputs": 3}'])
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="holds no golden rows"):
        golden_of({"golden": text})


def test_a_record_whose_rows_are_not_all_there_is_refused() -> None:
    (text,) = golden_parameters(GOLDEN).values()
    with pytest.raises(ContractError, match="holds no golden rows"):
        golden_of({"golden": text.replace('"rows":4', '"rows":5')})


@pytest.mark.parametrize(
    ("before", "after"), [('"tolerance":0.001', '"tolerance":0.0'), ('"outputs":{', '"outputs":{},"x":{')]
)
def test_a_record_that_could_judge_nothing_is_refused(before: str, after: str) -> None:
    (text,) = golden_parameters(GOLDEN).values()
    with pytest.raises(ContractError, match="they allow no difference"):
        golden_of({"golden": text.replace(before, after)})


def test_a_right_answer_is_off_by_nothing() -> None:
    """Up to the rounding of what was recorded; of any rows, in any order."""
    assert max(sizes(OUTPUTS).values()) < 1e-7
    rows = [3, 1, 1]
    assert max(sizes({name: array[rows] for name, array in OUTPUTS.items()}, rows).values()) < 1e-7
    assert all(one.allowed for one in compare(GOLDEN, OUTPUTS))


def test_a_difference_is_told_as_a_part_of_the_tensor_s_size() -> None:
    """A loss that is a hundredth too large in one row."""
    wrong = OUTPUTS["LOSS_PROMPT"].copy()
    wrong[2] *= 1.01
    delta, loss = compare(GOLDEN, OUTPUTS | {"LOSS_PROMPT": wrong})
    rms = np.sqrt(np.square(OUTPUTS["LOSS_PROMPT"]).mean())
    assert (loss.row, loss.size) == (2, pytest.approx(0.01 * OUTPUTS["LOSS_PROMPT"][2, 0] / rms, rel=1e-4))
    assert not loss.allowed
    assert delta.allowed


@pytest.mark.parametrize("error", [1e-2, 1e-1])
def test_an_error_is_seen_at_its_root_mean_square(error: float) -> None:
    """By its projections: the largest of sixteen is one to three times as large."""
    noise = RNG.standard_normal((4, 4, 4)).astype(np.float32)
    size = np.sqrt(np.square(OUTPUTS["DELTA"]).mean())
    assert error <= sizes(OUTPUTS | {"DELTA": OUTPUTS["DELTA"] + error * size * noise})["DELTA"] <= 3.5 * error


def test_rows_that_are_mixed_up_differ() -> None:
    assert min(sizes({name: array[::-1] for name, array in OUTPUTS.items()}).values()) > 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_never_allowed(value: float) -> None:
    wrong = OUTPUTS["DELTA"].copy()
    wrong[1, 2, 3] = value
    delta = compare(GOLDEN, OUTPUTS | {"DELTA": wrong})[0]
    assert (delta.row, delta.size, delta.allowed) == (1, inf, False)


def test_a_tensor_that_is_missing_or_of_fewer_rows_is_never_allowed() -> None:
    assert sizes({"DELTA": OUTPUTS["DELTA"][:3]}) == {"DELTA": inf, "LOSS_PROMPT": inf}


def test_a_tensor_of_zeros_is_compared_as_it_is() -> None:
    zeros = np.zeros((4, 4, 4), np.float32)
    golden = Golden(0, 4, {"DELTA": expected("DELTA", zeros, 1e-3)})
    assert compare(golden, {"DELTA": zeros})[0].size == 0
    assert not compare(golden, {"DELTA": zeros + 1})[0].allowed


def test_a_model_that_answers_nan_gets_no_record() -> None:
    with pytest.raises(ValueError, match="no answer of a golden row"):
        expected("DELTA", np.full((4, 2), np.nan), 1e-3)


def test_more_rows_than_there_are_go_round() -> None:
    assert cycled(GOLDEN, 6) == [0, 1, 2, 3, 0, 1]
    assert inputs(GOLDEN, MODEL, cycled(GOLDEN, 6))["LATENT"].shape == (6, 3, 4, 4)
    assert inputs(GOLDEN, MODEL)["DRAW"].shape == (4, 1)
