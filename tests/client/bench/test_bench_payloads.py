"""Invented inputs are what the served contract asks for."""

from __future__ import annotations

import numpy as np
import pytest

from client import contract
from client.bench.payloads import POOL_BYTES, random_requests, spec
from client.contract import Model, Tensor
from client.delivery.validation import check_row
from client.errors import ContractError
from client.wire import ServedModel
from export_scripts.repository.triton_config import model_config
from tests.toy_repository import GEOMETRY

MODELS = contract.models(GEOMETRY)


def served() -> dict[str, ServedModel]:
    """The toy repository as a server tells of it, through the configurations that it was given."""
    found = {}
    for name, model in MODELS.items():
        parameters = {key: value.string_value for key, value in model_config(model).parameters.items()}
        found[name] = ServedModel(name, 8, model.inputs, model.outputs, model.steps, 1, parameters)
    return found


@pytest.mark.parametrize("name", sorted(MODELS))
def test_rows_of_every_model_pass_the_clients_own_check(name: str) -> None:
    for rows in random_requests(MODELS[name], 5, seed=1):
        assert len(rows) == 5
        for row in rows:
            check_row(row, MODELS)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_an_ensembles_index_ranges_are_found_through_its_steps(name: str) -> None:
    assert set(spec(served(), name).index_ranges) == set(MODELS[name].index_ranges)


def test_every_index_of_a_range_occurs() -> None:
    rows = [row for request in random_requests(MODELS[contract.NOISE_LOSS], 16, seed=0) for row in request]
    for name, least, greatest in MODELS[contract.NOISE_LOSS].index_ranges:
        assert {int(row.inputs[name][0]) for row in rows} == set(range(least, greatest + 1))


def test_the_same_seed_gives_the_same_inputs_and_another_one_others() -> None:
    first, again, other = (random_requests(MODELS[contract.UNET], 2, seed)[0][0].inputs for seed in (7, 7, 8))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["LATENT"], other["LATENT"])


def test_large_inputs_get_fewer_payloads() -> None:
    big = Model("big", (Tensor("IMAGE", "UINT8", (2048, 2048, 3)),), ())
    requests = random_requests(big, 2, seed=0)
    assert len(requests) == POOL_BYTES // (2 * 2048 * 2048 * 3)


def test_an_integer_without_a_range_can_not_be_invented() -> None:
    with pytest.raises(ContractError, match=r"declares no index_range\.COUNT"):
        random_requests(Model("m", (Tensor("COUNT", "INT32", (1,)),), ()), 1, seed=0)


def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    with pytest.raises(ContractError, match="no model 'sdxl' is served; there is dift_extractor, noise_loss"):
        spec(served(), "sdxl")
