"""An ensemble that a server does not have: its steps are asked one after another, as one inference.

What goes from step to step comes here between and travels again, so an ensemble of the server's own is cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from client.contract import Model
from client.wire.answers import check_outputs

Outputs = dict[str, NDArray[Any]]
Infer = Callable[[Model, Sequence[Mapping[str, NDArray[Any]]], float], Awaitable[Outputs]]
"""One model, rows, and a timeout in seconds → output name → array whose dim 0 is the row."""


async def infer_in_steps(
    ensemble: Model,
    leaves: Mapping[str, Model],
    rows: Sequence[Mapping[str, NDArray[Any]]],
    timeout_s: float,
    infer: Infer,
) -> Outputs:
    """The ensemble's outputs, by its leaves. timeout_s is for all steps together.

    Raises what `infer` raises, ContractError for a leaf that answers with other tensors than it declares.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    values = [dict(row) for row in rows]
    answered: Outputs = {}
    for step in ensemble.steps:
        leaf = leaves[step.model]
        asked = [{name: value[ours] for name, ours in step.input_map} for value in values]
        outputs = await infer(leaf, asked, max(0.001, deadline - loop.time()))
        check_outputs(leaf, len(rows), outputs)
        for name, ours in step.output_map:
            answered[ours] = outputs[name]
            for value, array in zip(values, outputs[name], strict=True):
                value[ours] = array
    return {tensor.name: answered[tensor.name] for tensor in ensemble.outputs}
