"""A plan of standard TensorRT behind the one method that the gates call; memory and streams are torch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from client.contract import Model
from export_scripts.errors import EngineRefused
from export_scripts.graphs.onnx_export import NUMPY_TYPES


class PlanSession:
    """Runs batches of any size within the plan's profile, one at a time. device: where torch puts the tensors."""

    def __init__(self, context: Any, model: Model, device: str, stream: int) -> None:
        self._context, self._model, self._device, self._stream = context, model, device, stream

    def run(
        self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[np.generic]]
    ) -> list[NDArray[np.generic]]:
        """The arrays of `outputs` (default: all, in the spec's order), like onnxruntime.InferenceSession.run."""
        rows = len(next(iter(inputs.values())))
        held = {}
        for tensor in self._model.inputs:
            held[tensor.name] = torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])).to(self._device)
            if not self._context.set_input_shape(tensor.name, tuple(held[tensor.name].shape)):
                raise EngineRefused(f"{self._model.name}: the plan takes no {tensor.name} of {rows} rows")
        for tensor in self._model.outputs:
            empty = np.zeros((rows, *tensor.shape), NUMPY_TYPES[tensor.datatype])
            held[tensor.name] = torch.from_numpy(empty).to(self._device)
        for name, values in held.items():
            self._context.set_tensor_address(name, values.data_ptr())
        if not self._context.execute_async_v3(self._stream):
            raise EngineRefused(f"{self._model.name}: the plan does not run with {rows} rows")
        if self._device != "cpu":
            torch.cuda.synchronize()
        names = outputs or [tensor.name for tensor in self._model.outputs]
        return [held[name].cpu().numpy() for name in names]


def open_plan(trt: Any, engine: Any, model: Model) -> PlanSession:
    """A session of a serialized engine on the first GPU. Raises EngineRefused if it does not load."""
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineRefused(f"{model.name}: the plan that was just built does not load")
    return PlanSession(loaded.create_execution_context(), model, "cuda", torch.cuda.current_stream().cuda_stream)
