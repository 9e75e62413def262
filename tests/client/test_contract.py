"""What the contract says of its models beyond their tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client import contract
from client.errors import ContractError
from tests.toy_repository import GEOMETRY, IDENTITY

MODELS = contract.models(GEOMETRY)


@pytest.mark.parametrize(
    ("name", "one_at_a_time"),
    [
        *((leaf, True) for leaf in contract.LEAVES),
        (contract.NOISE_LOSS, True),  # the UNet waits for the embedding
        (contract.PATCH_FEATURES, False),  # encoder and embedding need nothing of each other
        (contract.PATCH_SCORER, False),
    ],
)
def test_steps_run_one_at_a_time_only_where_each_needs_the_one_before(name: str, one_at_a_time: bool) -> None:
    """Read off the ensembles by hand."""
    assert MODELS[name].one_step_at_a_time == one_at_a_time


def test_models_of_one_name_and_other_tensors_are_not_equal() -> None:
    """Though they hash alike."""
    other = contract.models(contract.Geometry(32, (3, 4, 4), (2, 5), 3, 4, 3))[contract.VAE_ENCODER]
    assert other != MODELS[contract.VAE_ENCODER]
    assert len({other, MODELS[contract.VAE_ENCODER], contract.models(GEOMETRY)[contract.VAE_ENCODER]}) == 2


ORDERED = replace(IDENTITY, draw_order=(3, 1, 0, 2), auto_draws=2)


def test_an_identity_travels_in_the_configs_and_comes_back() -> None:
    for identity in (
        IDENTITY,
        replace(IDENTITY, centring="contrast"),
        replace(IDENTITY, class_names=("a", "b", "a")),
        ORDERED,
    ):
        assert contract.identity_from_parameters(contract.identity_parameters(identity)) == identity


def test_a_repository_from_before_there_was_centring_has_none_and_one_without_it_is_written_like_that() -> None:
    parameters = contract.identity_parameters(IDENTITY)
    assert not any("centring" in own for own in parameters.values())
    assert contract.identity_from_parameters(parameters).centring == "none"


def test_a_repository_whose_classes_are_their_own_ids_is_written_as_before_there_were_names() -> None:
    parameters = contract.identity_parameters(IDENTITY)
    assert not any("class_names" in own for own in parameters.values())
    assert parameters[contract.PROMPT_EMBEDDING]["classes"] == '["circle", "square", "star"]'


def test_an_order_is_taken_from_its_begin_and_without_one_draws_are_as_they_are_numbered() -> None:
    assert (ORDERED.taken(2), ORDERED.taken(4), IDENTITY.taken(2)) == ((3, 1), (3, 1, 0, 2), (0, 1))
    assert not any("draw_order" in own for own in contract.identity_parameters(IDENTITY).values())


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 1, 2, 2), (1, 2, 3, 4)])
def test_an_order_of_other_draws_than_the_banks_is_refused(order: tuple[int, ...]) -> None:
    parameters = contract.identity_parameters(replace(IDENTITY, draw_order=order))
    with pytest.raises(ContractError, match="an order that is not one of its 4 draws: calibrate"):
        contract.identity_from_parameters(parameters)


def test_names_that_are_not_as_many_as_the_classes_are_refused() -> None:
    parameters = contract.identity_parameters(replace(IDENTITY, class_names=("a", "b")))
    with pytest.raises(ContractError, match="3 classes and 2 names"):
        contract.identity_from_parameters(parameters)


def test_a_missing_parameter_that_has_no_default_is_named() -> None:
    parameters = contract.identity_parameters(IDENTITY)
    del parameters[contract.UNET]["rule"]
    with pytest.raises(ContractError, match="'unet_noise_predictor' lacks the parameter 'rule'"):
        contract.identity_from_parameters(parameters)
