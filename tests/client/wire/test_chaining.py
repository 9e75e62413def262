"""The steps of an ensemble, asked one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from client import contract
from client.contract import DTYPES, Model
from client.wire.chaining import infer_in_steps
from tests.client.fake_triton import toy_rows
from tests.toy_repository import GEOMETRY

MODELS = contract.models(GEOMETRY)
Rows = Sequence[Mapping[str, Any]]


def zeros(model: Model, rows: int) -> dict[str, np.ndarray]:
    return {t.name: np.zeros((rows, *t.shape), DTYPES[t.datatype]) for t in model.outputs}


@pytest.mark.parametrize("name", contract.ENSEMBLES)
def test_every_step_gets_what_its_map_says_and_nothing_else(name: str) -> None:
    ensemble = MODELS[name]
    inputs = [{t.name: np.ones(t.shape, DTYPES[t.datatype]) for t in ensemble.inputs}] * 3
    asked: list[str] = []

    async def infer(model: Model, rows: Rows, timeout_s: float) -> dict[str, np.ndarray]:
        asked.append(model.name)
        assert [set(row) for row in rows] == [{t.name for t in model.inputs}] * 3
        assert all(row[t.name].shape == t.shape for row in rows for t in model.inputs)
        return zeros(model, len(rows))

    found = asyncio.run(infer_in_steps(ensemble, MODELS, inputs, 5.0, infer))
    assert asked == [step.model for step in ensemble.steps]
    assert {key: array.shape for key, array in found.items()} == {t.name: (3, *t.shape) for t in ensemble.outputs}


def test_all_steps_together_have_the_time_of_one_inference() -> None:
    left: list[float] = []

    async def infer(model: Model, rows: Rows, timeout_s: float) -> dict[str, np.ndarray]:
        left.append(timeout_s)
        await asyncio.sleep(0.05)
        return zeros(model, len(rows))

    rows = [row.inputs for row in toy_rows(2)]
    asyncio.run(infer_in_steps(MODELS[contract.NOISE_LOSS], MODELS, rows, 1.0, infer))
    assert 0.99 <= left[0] <= 1.0
    assert 0 < left[1] <= left[0] - 0.05
