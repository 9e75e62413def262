"""The KServe-v2 gRPC protocol, through the stub that tritonclient generates: the one file that imports grpc.

Owns channels, messages and the translation of gRPC's errors into `WireError`. Must not know retries, batching or what a
model computes. tritonclient's own Python layer is not used: it drops the id of a failed response.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from client.contract import Model, Step, Tensor
from client.validation import DTYPES

_LOOPBACK = ("127.", "localhost", "[::1]")
_channel_numbers = itertools.count()


class WireError(Exception):
    """A call that failed. status: gRPC's name of it, such as UNAVAILABLE; address: of the server that was asked."""

    def __init__(self, status: str, message: str, address: str) -> None:
        super().__init__(f"{status} from {address}: {message}")
        self.status = status
        self.message = message
        self.address = address


@dataclass(frozen=True)
class ServedModel:
    """What a server says of one of its models. instances: how many batches it can run at once."""

    name: str
    max_batch: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    instances: int
    parameters: Mapping[str, str]


class Connection:
    """One server. Open it inside a running event loop and close it there; every call raises WireError if it fails."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=_options(address))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._request_ids = itertools.count(1)

    async def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def ready(self, timeout_s: float) -> bool:
        """Whether the server and all its models are ready."""
        response = await self._call(self._stub.ServerReady, service_pb2.ServerReadyRequest(), timeout_s)
        return bool(response.ready)

    async def version(self, timeout_s: float) -> str:
        """The server's version, such as "2.51.0"."""
        response = await self._call(self._stub.ServerMetadata, service_pb2.ServerMetadataRequest(), timeout_s)
        return str(response.version)

    async def model_names(self, timeout_s: float) -> list[str]:
        """The names of all models that are ready, sorted."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        response = await self._call(self._stub.RepositoryIndex, request, timeout_s)
        return sorted({entry.name for entry in response.models})

    async def model(self, name: str, timeout_s: float) -> ServedModel:
        """What the server says of one model."""
        request = service_pb2.ModelConfigRequest(name=name)
        return _served((await self._call(self._stub.ModelConfig, request, timeout_s)).config)

    async def infer(
        self, model: Model, rows: Sequence[Mapping[str, NDArray[Any]]], timeout_s: float
    ) -> dict[str, NDArray[Any]]:
        """One inference of all rows: output name → array whose dim 0 is the row, read-only.

        timeout_s bounds the call and, as Triton's own timeout, the wait in the server's queue.
        """
        request = _infer_request(model, rows, str(next(self._request_ids)), timeout_s)
        response = await self._call(self._stub.ModelInfer, request, timeout_s)
        if response.id != request.id:
            raise WireError("INTERNAL", f"request {request.id} was answered with the id {response.id!r}", self.address)
        return _outputs(response, self.address)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise WireError(error.code().name, error.details() or "no details", self.address) from error


def _options(address: str) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        # A server that comes back is found at once: the default waits grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 250),
        # Channels with equal arguments would share one connection.
        ("grpc.use_local_subchannel_pool", 1),
        ("selector.channel", next(_channel_numbers)),
        ("grpc.enable_http_proxy", 0 if address.startswith(_LOOPBACK) else 1),
    ]


def _infer_request(
    model: Model, rows: Sequence[Mapping[str, NDArray[Any]]], request_id: str, timeout_s: float
) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=model.name, id=request_id)
    request.parameters["timeout"].int64_param = max(1, round(timeout_s * 1e6))
    for tensor in model.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=(len(rows), *tensor.shape))
        # Joining views copies each row once; stacking and then tobytes would copy it twice.
        arrays = (np.ascontiguousarray(row[tensor.name]) for row in rows)
        request.raw_input_contents.append(b"".join(array.data for array in arrays))
    for tensor in model.outputs:
        request.outputs.add(name=tensor.name)
    return request


def _outputs(response: service_pb2.ModelInferResponse, address: str) -> dict[str, NDArray[Any]]:
    outputs: dict[str, NDArray[Any]] = {}
    for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.datatype not in DTYPES:
            raise WireError("UNIMPLEMENTED", f"the output {tensor.name} has the datatype {tensor.datatype}", address)
        outputs[tensor.name] = np.frombuffer(content, DTYPES[tensor.datatype]).reshape(tuple(tensor.shape))
    return outputs


def _served(config: model_config_pb2.ModelConfig) -> ServedModel:
    return ServedModel(
        name=config.name,
        max_batch=config.max_batch_size,
        inputs=tuple(_tensor(item) for item in config.input),
        outputs=tuple(_tensor(item) for item in config.output),
        steps=tuple(
            Step(step.model_name, tuple(sorted(step.input_map.items())), tuple(sorted(step.output_map.items())))
            for step in config.ensemble_scheduling.step
        ),
        instances=max(1, sum(group.count for group in config.instance_group)),
        parameters={key: value.string_value for key, value in config.parameters.items()},
    )


def _tensor(item: Any) -> Tensor:
    datatype = model_config_pb2.DataType.Name(item.data_type).removeprefix("TYPE_")
    return Tensor(item.name, datatype, tuple(item.dims))
