"""FakeCore: an in-process server of the Open Inference Protocol's core alone, whose models ONNX Runtime computes.

What Triton adds (ModelConfig, the repository index, streams, shared memory, statistics) it answers with UNIMPLEMENTED, as
generated stubs do.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
import onnxruntime
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client import contract
from client.contract import Tensor
from client.wire.messages import TYPED_CONTENTS
from tests.client.fake_triton import Fault, decoded


class FakeCore(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """An async context manager. repository: whose graphs it runs, `models` of them.

    typed: whether answers are numbers of the message rather than raw bytes. echo: whether it returns a request's id. metadata:
    the tensors that it tells of a model. script: faults of the next requests for a model. asked: how many came, by model.
    """

    def __init__(self, repository: Path, models: Sequence[str] = contract.LEAVES) -> None:
        self._sessions = {
            name: onnxruntime.InferenceSession(repository / name / "1" / "model.onnx") for name in contract.LEAVES
        }
        self.models = list(models)
        self.typed, self.echo = False, True
        self.metadata: dict[str, tuple[Tensor, ...]] = {}
        self.script: dict[str, deque[Fault]] = {}
        self.spoil: dict[str, Any] = {}
        """By output, what becomes of its array."""
        self.asked: Counter[str] = Counter()
        self.address = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="core", version="7")

    async def ModelReady(self, request: Any, context: Any) -> Any:
        if request.name not in self.models:
            await context.abort(grpc.StatusCode.UNKNOWN, "Model not found")  # as MLServer 1.7 does
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        response = service_pb2.ModelMetadataResponse(name=request.name)
        for tensor in self.metadata.get(request.name, ()):
            response.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        name = request.model_name
        self.asked[name] += 1
        if self.script.get(name):
            fault = self.script[name].popleft()
            await context.abort(grpc.StatusCode[fault.status], fault.details)
        inputs = decoded(request)
        response = service_pb2.ModelInferResponse(model_name=name, id=request.id if self.echo else "")
        for output, array in self._outputs(name, inputs).items():
            array = self.spoil.get(output, lambda unspoilt: unspoilt)(array)
            datatype = {"f": "FP32", "u": "UINT8", "i": "INT32"}[array.dtype.kind]
            tensor = response.outputs.add(name=output, datatype=datatype, shape=array.shape)
            if self.typed:
                getattr(tensor.contents, TYPED_CONTENTS[datatype]).extend(array.ravel().tolist())
            else:
                response.raw_output_contents.append(array.tobytes())
        return response

    def _outputs(self, name: str, inputs: Any) -> dict[str, np.ndarray]:
        if name == contract.NOISE_LOSS:  # an ensemble that the server happens to have
            between = self._outputs(contract.PROMPT_EMBEDDING, {k: inputs[k] for k in ("PROMPT_ID", "REFERENCE_ID")})
            rest = {k: inputs[k] for k in ("LATENT", "DRAW")}
            return self._outputs(contract.UNET, rest | between)
        session = self._sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
