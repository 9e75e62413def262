"""What an answer must be before it is believed: the tensors that its model declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from client.contract import DTYPES, Model
from client.errors import ContractError


def check_outputs(model: Model, rows: int, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Raises ContractError if a model's answer to a request of so many rows lacks a tensor or has a wrong one."""
    for tensor in model.outputs:
        array, dtype, shape = outputs.get(tensor.name), DTYPES[tensor.datatype], (rows, *tensor.shape)
        if array is None or array.dtype != dtype or array.shape != shape:
            wanted = f"{dtype} {list(shape)}"
            came = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
            raise ContractError(f"model {model.name!r} answered {tensor.name} wrongly: expected {wanted}, got {came}")
