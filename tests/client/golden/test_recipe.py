"""Inputs of golden rows follow from a recipe that never changes: what was recorded years ago must be made again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import contract
from client.golden.recipe import PROJECTIONS, make_inputs, project

GEOMETRY = contract.Geometry(resolution=16, latent=(3, 4, 4), prompt=(2, 5), feature=3, draws=64, classes=10)
MODELS = contract.models(GEOMETRY)


def test_the_recipe_gives_the_values_that_it_always_gave() -> None:
    """Whoever changes one of them must raise RECIPE: every repository that was exported carries answers to these inputs."""
    made = make_inputs(MODELS[contract.PATCH_SCORER], 0, range(4), {})
    assert made["IMAGE"][1, 0, 0].tolist() == [96, 182, 219]
    assert made["PROMPT_ID"].ravel().tolist() == [10, 2, 5, 8]
    assert made["REFERENCE_ID"].ravel().tolist() == [8, 7, 0, 10]
    assert made["DRAW"].ravel().tolist() == [24, 41, 58, 11]
    made = make_inputs(MODELS[contract.UNET], 0, [3], {"COND": 0.5})
    latent = [-0.020297624170780182, 1.8741474151611328, -0.21650800108909607, -0.757777988910675]
    assert made["LATENT"][0, 0, 0].tolist() == latent
    cond = [0.10487106442451477, -0.9506054520606995, -0.21989093720912933, -0.6664386987686157, -0.17929568886756897]
    assert made["COND"][0, 0].tolist() == cond
    ramp = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    assert project("DELTA", ramp).tolist() == [[4.0, -8.0, 8.0, -15.5], [4.0, -16.0, 8.0, -31.5]]


@pytest.mark.parametrize("name", MODELS)
def test_no_two_rows_are_alike_and_a_part_is_made_as_the_whole(name: str) -> None:
    """Else rows that a server mixes up would not be seen."""
    whole, part = make_inputs(MODELS[name], 0, range(4), {}), make_inputs(MODELS[name], 0, [2, 0, 2], {})
    for tensor in MODELS[name].inputs:
        array = whole[tensor.name]
        assert array.shape == (4, *tensor.shape)
        assert array.dtype == contract.DTYPES[tensor.datatype]
        assert len(np.unique(array.reshape(4, -1), axis=0)) == 4
        assert (part[tensor.name] == array[[2, 0, 2]]).all()


@given(classes=st.integers(1, 1000), draws=st.integers(1, 1024))
def test_indices_stay_in_range_and_differ_as_far_as_it_goes(classes: int, draws: int) -> None:
    geometry = contract.Geometry(16, (3, 4, 4), (2, 5), feature=3, draws=draws, classes=classes)
    model = contract.models(geometry)[contract.NOISE_LOSS]
    made = make_inputs(model, 0, range(4), {})
    for name, least, greatest in model.index_ranges:
        assert made[name].min() >= least
        assert made[name].max() <= greatest
    for name, count in (("PROMPT_ID", classes + 1), ("DRAW", draws)):
        assert len(set(made[name].ravel().tolist())) == min(4, count)
    assert (made["PROMPT_ID"] != made["REFERENCE_ID"]).all()


def test_conditions_are_of_the_size_that_is_said_and_differ_from_each_other() -> None:
    geometry = contract.Geometry(16, (3, 4, 4), (77, 64), feature=3, draws=64, classes=10, cond_datatype="FP16")
    made = make_inputs(contract.models(geometry)[contract.UNET], 0, range(4), {"COND": 0.25})
    assert made["COND"].dtype == np.float16
    assert made["COND"].std() == pytest.approx(0.25, rel=0.01)
    assert made["REFERENCE"].std() == pytest.approx(1.0, rel=0.01)
    assert abs(np.corrcoef(made["COND"].ravel(), made["REFERENCE"].ravel())[0, 1]) < 0.05


def test_a_projection_is_as_large_as_the_root_mean_square() -> None:
    """For a tensor of any shape: of noise, and of a single value among zeros."""
    noise = np.random.default_rng(0).standard_normal((500, 40, 30)).astype(np.float32)
    assert project("DELTA", noise).shape == (500, PROJECTIONS)
    assert project("DELTA", noise).std() == pytest.approx(1.0, rel=0.05)
    spike = np.zeros((1, 40, 30), np.float32)
    spike[0, 3, 4] = 6.0
    assert np.abs(project("DELTA", spike)).tolist() == [[pytest.approx(6.0 / np.sqrt(1200))] * PROJECTIONS]


def test_one_value_stands_for_itself() -> None:
    assert project("LOSS_PROMPT", np.array([[2.5], [-1.0]], np.float32)).tolist() == [[2.5], [-1.0]]
