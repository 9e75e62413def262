"""The golden rows of a model: what it must answer to inputs that follow from a recipe. They travel in its config's `parameters`.

A server is believed by its answers, not by what its files or its configuration say of them (docs/decisions/024-golden-rows.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.contract import Model
from client.errors import ContractError
from client.golden.recipe import RECIPE, Arrays, make_inputs, project

PARAMETER = "golden"
"""The parameter of a model's config that carries its golden rows."""
ROWS = 4


@dataclass(frozen=True)
class Expected:
    """What an output must be. values: projections by row. scale: its root mean square over all golden rows.
    tolerance: largest difference of a projection, as a part of scale."""

    values: tuple[tuple[float, ...], ...]
    scale: float
    tolerance: float


@dataclass(frozen=True)
class Golden:
    """The golden rows of one model. seed: of their inputs. scales: standard deviations of inputs, 1 where none is said.
    outputs: by name. reference: what computed them, such as "torch float32"."""

    seed: int
    rows: int
    outputs: Mapping[str, Expected]
    scales: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True)
class Difference:
    """How far an output is off at its worst golden row, as a part of its size, and how far it may be."""

    tensor: str
    row: int
    size: float
    tolerance: float

    @property
    def allowed(self) -> bool:
        """Whether that is close enough."""
        return self.size <= self.tolerance


def golden_of(parameters: Mapping[str, str]) -> Golden | None:
    """The golden rows in a config's `parameters`, None if there are none that this version can make again.

    Raises ContractError if they can't be read.
    """
    text = parameters.get(PARAMETER)
    if text is None:
        return None
    try:
        values = json.loads(text)
        if values["recipe"] != RECIPE:
            return None
        outputs = {
            name: Expected(tuple(map(tuple, one["values"])), one["scale"], one["tolerance"])
            for name, one in values["outputs"].items()
        }
        golden = Golden(values["seed"], values["rows"], outputs, values["scales"], values["reference"])
        if golden.rows < 1 or any(len(one.values) != golden.rows for one in outputs.values()):
            raise ValueError("their number is not that of the rows")
        if not outputs or not all(one.tolerance > 0 for one in outputs.values()):
            raise ValueError("they allow no difference")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(
            f"its parameter {PARAMETER!r} holds no golden rows ({error}): export the repository again"
        ) from None
    return golden


def golden_parameters(golden: Golden) -> dict[str, str]:
    """The `parameters` that carry golden rows: one key, JSON text."""
    outputs = {
        name: {"scale": _short(e.scale), "tolerance": e.tolerance, "values": e.values}
        for name, e in golden.outputs.items()
    }
    values: dict[str, Any] = {
        "recipe": RECIPE,
        "seed": golden.seed,
        "rows": golden.rows,
        "reference": golden.reference,
        "scales": dict(golden.scales),
        "outputs": outputs,
    }
    return {PARAMETER: json.dumps(values, separators=(",", ":"))}


def inputs(golden: Golden, model: Model, rows: Sequence[int] | None = None) -> Arrays:
    """Inputs of a request of golden rows, dim 0 the row. rows: which of them, in any order and as often as wanted; all."""
    return make_inputs(model, golden.seed, range(golden.rows) if rows is None else rows, golden.scales)


def compare(
    golden: Golden, outputs: Mapping[str, NDArray[np.generic]], rows: Sequence[int] | None = None
) -> tuple[Difference, ...]:
    """How far each output is off at its worst row. outputs: of a request of these rows; one that is missing is off by inf."""
    asked = range(golden.rows) if rows is None else rows
    return tuple(_difference(name, record, outputs.get(name), asked) for name, record in golden.outputs.items())


def expected(name: str, array: NDArray[np.generic], tolerance: float) -> Expected:
    """The record of an output [rows, …] of all golden rows."""
    values = tuple(tuple(_short(value) for value in row) for row in project(name, array))
    return Expected(values, _short(float(np.sqrt(np.square(array, dtype=np.float64).mean()))), tolerance)


def cycled(golden: Golden, count: int) -> list[int]:
    """`count` golden rows, from the first and over again."""
    return [number % golden.rows for number in range(count)]


def _difference(name: str, record: Expected, array: NDArray[np.generic] | None, rows: Sequence[int]) -> Difference:
    if array is None or len(array) != len(rows):
        return Difference(name, rows[0], inf, record.tolerance)
    found, wanted = project(name, array), np.array([record.values[row] for row in rows])
    if found.shape != wanted.shape:
        return Difference(name, rows[0], inf, record.tolerance)
    off = np.abs(found - wanted).max(axis=1) / (record.scale or 1.0)
    off[~np.isfinite(off)] = inf
    worst = int(off.argmax())
    return Difference(name, rows[worst], float(off[worst]), record.tolerance)


def _short(value: float) -> float:
    """The shortest decimal of the float32 next to a value."""
    if not isfinite(value):
        raise ValueError(f"{value} is no answer of a golden row")
    return float(str(np.float32(value)))
