"""Random inputs of a served model: right shapes, types and index ranges, the same for the same seed.

Values do not matter to the speed of the engines served here, but they must be valid, and finite after the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.contract import DTYPES, INDEX_RANGE, Model, Tensor
from client.errors import ContractError
from client.rows import Row
from client.wire import ServedModel

POOL_BYTES = 64 << 20
"""Payloads are made before the clock starts and sent in turn; more of them than fit in here would only cost memory."""
_POOL_REQUESTS = 16


def spec(served: Mapping[str, ServedModel], name: str) -> Model:
    """The contract of a served model, with the index ranges that its leaves declare.

    Raises ContractError that names what is served, if this is not.
    """
    if name not in served:
        raise ContractError(f"no model {name!r} is served; there is {', '.join(sorted(served)) or 'none'}")
    model = served[name]
    ranges = tuple((key, *bounds) for key, bounds in sorted(_ranges(served, name).items()))
    return Model(name, model.inputs, model.outputs, model.steps, ranges)


def random_requests(model: Model, rows: int, seed: int) -> tuple[tuple[Row, ...], ...]:
    """Several requests of so many rows: UINT8 uniform, floats standard normal, integers uniform in their index range.

    Raises ContractError for an integer input without a range, since no value of it is known to be valid.
    """
    random = np.random.default_rng(seed)
    least = {name: (low, high) for name, low, high in model.index_ranges}
    row_bytes = sum(math.prod(t.shape) * DTYPES[t.datatype].itemsize for t in model.inputs)
    count = max(1, min(_POOL_REQUESTS, POOL_BYTES // max(1, row_bytes * rows)))

    def row(key: int) -> Row:
        return Row(model.name, key, {t.name: _random(model, t, least.get(t.name), random) for t in model.inputs})

    return tuple(tuple(row(key) for key in range(rows)) for _ in range(count))


def _random(model: Model, tensor: Tensor, bounds: tuple[int, int] | None, random: np.random.Generator) -> NDArray[Any]:
    if tensor.datatype == "UINT8":
        return random.integers(0, 256, tensor.shape, dtype=np.uint8)
    if tensor.datatype in ("FP16", "FP32"):
        return random.standard_normal(tensor.shape, dtype=np.float32).astype(DTYPES[tensor.datatype], copy=False)
    if bounds is None:
        raise ContractError(
            f"model {model.name!r} takes the integers {tensor.name} and declares no {INDEX_RANGE}{tensor.name}: "
            "no value of it is known to be valid"
        )
    return random.integers(bounds[0], bounds[1] + 1, tensor.shape, dtype=DTYPES[tensor.datatype])


def _ranges(served: Mapping[str, ServedModel], name: str) -> dict[str, tuple[int, int]]:
    found = dict(_declared(served[name]))
    for step in served[name].steps:
        inner = _ranges(served, step.model)
        found |= {outside: inner[inside] for inside, outside in step.input_map if inside in inner}
    return found


def _declared(model: ServedModel) -> Iterator[tuple[str, tuple[int, int]]]:
    for key, value in model.parameters.items():
        if key.startswith(INDEX_RANGE):
            least, greatest = value.split(",")
            yield key.removeprefix(INDEX_RANGE), (int(least), int(greatest))
