"""FakeTriton: an in-process gRPC server of the toy models whose faults a test can script.

It speaks the real protocol through tritonclient's generated stub and computes `noise_loss` of the toy repository, so the
client under test can't tell it from a server but by its manners.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from client import contract
from client.rows import Row, loss_row
from export_scripts.repository.triton_config import model_config
from tests.client.shared_memory.fake_regions import Reading, Regions
from tests.toy_repository import GEOMETRY, IDENTITY, toy_loss

LATENT = np.linspace(-1, 1, 48, dtype=np.float32).reshape(3, 4, 4)


@dataclass(frozen=True)
class Fault:
    """The status and text of a refusal."""

    status: str
    details: str = "scripted"


Behaviour = Callable[[Any], Fault | None]
"""From a ModelInferRequest to its refusal, or None to answer it."""


def toy_rows(count: int) -> list[Row]:
    """Rows of noise_loss; the key is the position, and `expected_loss` knows the answer."""
    return [loss_row(key, LATENT, 1 + key % 3, 0, key % 4) for key in range(count)]


def expected_loss(key: int) -> dict[str, Any]:
    """The answer to the row of this key among `toy_rows`."""
    return toy_loss(LATENT, 1 + key % 3, 0, key % 4)


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """An async context manager. `script`: faults of the next requests, in order. `behaviour`: asked once it is empty.

    hold: while it is cleared, requests wait, and those cancelled meanwhile are counted. batches: rows of every request
    received. stands_still: whether it does not even say that it is ready. nan_keys: the LOSS_PROMPT of rows with these
    DRAWs is NaN. regions: its shared memory, None for a server that has none.
    """

    def __init__(self, *, max_batch: int = 8, identity: contract.Identity = IDENTITY, port: int = 0) -> None:
        self.script: deque[Fault] = deque()
        self.behaviour: Behaviour = lambda request: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.batches: list[int] = []
        self.metadata: list[dict[str, str]] = []
        self.streamed = 0
        self.version = "0.0.fake"
        self.regions: Regions | None = None
        self.rows_held = self.most_rows_held = self.cancelled = 0
        self.nan_draw: int | None = None
        self.drop_output = False
        self.stands_still = False
        parameters = contract.identity_parameters(identity)
        self.configs: dict[str, model_config_pb2.ModelConfig] = {
            name: model_config(model, max_batch=max_batch, parameters=parameters.get(name))
            for name, model in contract.models(GEOMETRY).items()
        }
        self._port = port
        self._stack = AsyncExitStack()
        self.address = ""

    async def __aenter__(self) -> Self:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ServerReady(self, request: Any, context: Any) -> Any:
        while self.stands_still:
            await asyncio.sleep(0.01)
        return service_pb2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="fake", version=self.version)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        response = service_pb2.RepositoryIndexResponse()
        for name in self.configs:
            response.models.add(name=name, version="1", state="READY")
        return response

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        if self.regions is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no shared memory")
        try:
            self.regions.register(request.name, request.key)
        except OSError:
            text = f"Unable to open shared memory region: '{request.key}'"
            await context.abort(grpc.StatusCode.INTERNAL, text)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        if not self.regions.unregister(request.name):
            text = f"Cannot unregister shared memory region '{request.name}', it is currently in use."
            await context.abort(grpc.StatusCode.INTERNAL, text)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        if self.regions is None:
            return await self._infer(request, context)
        if unknown := self.regions.unknown(request):
            text = f"Unable to find shared memory region: '{unknown}'"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        readings = self.regions.begin(request)
        cancelled = False
        try:
            return await self._infer(request, context, readings)
        except asyncio.CancelledError:
            cancelled = True  # a real server goes on reading
            raise
        finally:
            for reading in readings:
                reading.over = not cancelled

    async def _infer(self, request: Any, context: Any, readings: list[Reading] | None = None) -> Any:
        rows = int(request.inputs[0].shape[0])
        self.batches.append(rows)
        self.metadata.append(dict(context.invocation_metadata()))
        self.rows_held += rows
        self.most_rows_held = max(self.most_rows_held, self.rows_held)
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.rows_held -= rows
        if readings and self.regions is not None:
            request = self.regions.inline(request, readings)
        fault = self.script.popleft() if self.script else self.behaviour(request)
        if fault is not None:
            await context.abort(grpc.StatusCode[fault.status], fault.details)
        return self._answer(request, rows)

    async def ModelStreamInfer(self, requests: Any, context: Any) -> Any:
        """As Triton does: a failed request's answer carries its id and a text, but no status."""
        async for request in requests:
            await self.hold.wait()
            fault = self.script.popleft() if self.script else self.behaviour(request)
            self.streamed += 1
            if fault is not None and fault.status == "ABORTED":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream broke")
            if fault is not None:
                response = service_pb2.ModelStreamInferResponse(error_message=fault.details)
                response.infer_response.id = request.id
                yield response
            else:
                answer = self._answer(request, int(request.inputs[0].shape[0]))
                yield service_pb2.ModelStreamInferResponse(infer_response=answer)

    def _answer(self, request: Any, rows: int) -> Any:
        inputs = decoded(request)
        answers = [
            toy_loss(latent, int(prompt[0]), int(reference[0]), int(draw[0]))
            for latent, prompt, reference, draw in zip(
                inputs["LATENT"], inputs["PROMPT_ID"], inputs["REFERENCE_ID"], inputs["DRAW"], strict=True
            )
        ]
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        for tensor in contract.models(GEOMETRY)[contract.NOISE_LOSS].outputs[self.drop_output :]:
            array = np.stack([answer[tensor.name] for answer in answers]).astype(np.float32)
            if tensor.name == "LOSS_PROMPT" and self.nan_draw is not None:
                array[inputs["DRAW"] == self.nan_draw] = np.nan
            response.outputs.add(name=tensor.name, datatype="FP32", shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


def decoded(request: Any) -> Mapping[str, Any]:
    """The input arrays of a ModelInferRequest."""
    dtypes = {"FP32": np.float32, "INT32": np.int32, "UINT8": np.uint8}
    return {
        tensor.name: np.frombuffer(content, dtypes[tensor.datatype]).reshape(tuple(tensor.shape))
        for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def other_identity() -> contract.Identity:
    """An identity that differs from the toy's in its pipeline alone."""
    return replace(IDENTITY, pipeline="another")
