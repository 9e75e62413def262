"""What a row must be before it is sent, and what an answer that is not finite becomes.

A wrong row is the caller's mistake and raises; an answer that is not finite is a failure of its row alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.contract import DTYPES, Model
from client.errors import RowError
from client.rows import Answer, Failure, Result, Row


def check_row(row: Row, models: Mapping[str, Model]) -> None:
    """Raises RowError that names the row's key, the input, what was expected and what came."""
    model = models.get(row.model)
    if model is None:
        raise RowError(f"row {row.key!r} is for the model {row.model!r}, expected one of {', '.join(sorted(models))}")
    expected = {tensor.name for tensor in model.inputs}
    if set(row.inputs) != expected:
        raise RowError(_wrong(row, "inputs", f"exactly {sorted(expected)}", str(sorted(row.inputs))))
    for tensor in model.inputs:
        array = row.inputs[tensor.name]
        if array.dtype != DTYPES[tensor.datatype] or array.shape != tensor.shape:
            wanted = f"{DTYPES[tensor.datatype]} {list(tensor.shape)}"
            raise RowError(_wrong(row, tensor.name, wanted, f"{array.dtype} {list(array.shape)}"))
    for name, least, greatest in model.index_ranges:
        value = int(row.inputs[name].flat[0])
        if not least <= value <= greatest:
            raise RowError(_wrong(row, name, f"{least} to {greatest}", str(value)))


def split_outputs(rows: Sequence[Row], outputs: Mapping[str, NDArray[Any]]) -> list[Result]:
    """One result per row from arrays whose dim 0 is the row; NaN or Inf anywhere in a row makes it a Failure."""
    bad: dict[int, str] = {}
    for name, array in outputs.items():
        finite = np.isfinite(array.reshape(len(rows), -1)).all(axis=1)
        for position in np.flatnonzero(~finite):
            bad.setdefault(int(position), f"the server's {name} holds NaN or Inf")
    return [
        Failure(row.key, bad[position])
        if position in bad
        else Answer(row.key, {name: array[position] for name, array in outputs.items()})
        for position, row in enumerate(rows)
    ]


def _wrong(row: Row, what: str, expected: str, got: str) -> str:
    return f"row {row.key!r} for {row.model}: {what}: expected {expected}, got {got}"
