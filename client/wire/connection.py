"""The KServe-v2 gRPC protocol: with bidi.py, all that imports grpc.

tritonclient's own Python layer is not used: it drops the id of a failed response and copies every tensor twice more.
Inferences go through the channel as bytes (messages.py), the rest through the stub that it generates.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from client.contract import Model, Step, Tensor
from client.errors import ServerError, WireError
from client.shared_memory import RegionRegistry, RegistryError, SharedMemory
from client.statistics import Sharing
from client.wire.bidi import InferenceStream
from client.wire.security import Security, is_loopback
from client.wire.tracing import Trace
from client.wire.transports import AUTO, SHARED_MEMORY, Inferences

__all__ = ["Connection", "IndexEntry", "ModelStatistics", "ServedModel", "WireError"]

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
MESSAGE_BYTES = 256 << 20
"""No message of ours comes near; a server that sends a larger one is refused."""
MODEL_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
_channel_numbers = itertools.count()


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
    backend: str = ""
    plans: tuple[str, ...] = ()
    """Compute capabilities that the model has a TensorRT plan for, such as "8.9"."""


@dataclass(frozen=True)
class IndexEntry:
    """A model in the server's repository index. state: READY, UNAVAILABLE, LOADING or UNLOADING, "" if never loaded.

    reason: why it is not ready, in the server's words.
    """

    name: str
    state: str
    reason: str


@dataclass(frozen=True)
class ModelStatistics:
    """What a server counted of one model, all versions, since it was loaded. Times are sums over requests.

    requests: answered ones. rows: of them. executions: runs of the model; rows ÷ executions is the batch achieved.
    """

    name: str
    requests: int
    rows: int
    executions: int
    total_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


class Connection:
    """One server. Open it inside a running event loop and close it there; every call raises WireError if it fails.

    target_name: the name that a server's certificate must carry, where the address is another (dns:///). trace: adds a
    traceparent to every inference. transport: one of transports.TRANSPORTS.
    """

    def __init__(
        self,
        address: str,
        security: Security | None = None,
        *,
        target_name: str = "",
        trace: Trace | None = None,
        transport: str = "auto",
    ) -> None:
        self.address = address
        security = security or Security()
        security.check_address(address)
        self.encrypted = security.tls_ca is not None
        self._channel = _channel(address, security, target_name)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        stream = self._channel.stream_stream(MODEL_STREAM_INFER)
        self._stream = InferenceStream(lambda: stream(metadata=security.headers))
        self._headers = security.headers
        self._trace = trace
        self._infer = self._channel.unary_unary(MODEL_INFER)  # bytes in, bytes out
        self._transport = transport
        local = transport in (AUTO, SHARED_MEMORY) and is_loopback(address)
        self._shared = SharedMemory(RegionRegistry(self)) if local else None
        self._inferences = Inferences(
            address, self._infer_unary, self._stream, self._shared, transport, traced=trace is not None
        )

    async def close(self) -> None:
        """Closes the connection; calls in flight are cancelled, and the server lets go of shared memory."""
        await self._stream.close()
        if self._shared is not None:
            await self._shared.close()
        await self._channel.close()

    def connected(self) -> bool:
        """Whether the connection of the last call still stands; if not, the server is gone, shuts down, or is another."""
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

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
        return await self._inferences.infer(model, rows, timeout_s)

    async def open_transport(self, timeout_s: float) -> None:
        """Sees to it that a transport that was asked for by name can be had. Raises ServerError that says why not."""
        if self._transport != SHARED_MEMORY:
            return
        if self._shared is None:
            raise ServerError(f"transport {SHARED_MEMORY} needs a server on this machine, not {self.address}")
        try:
            await self._shared.open(timeout_s)
        except RegistryError as error:
            raise ServerError(f"transport {SHARED_MEMORY} can't be had from {self.address}: {error}") from error

    @property
    def bytes_sent(self) -> int:
        """Of inferences' requests."""
        return self._inferences.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Of inferences' responses."""
        return self._inferences.bytes_received

    def sharing(self) -> Sharing:
        """What went by shared memory."""
        return Sharing() if self._shared is None else self._shared.statistics()

    async def register(self, name: str, nbytes: int, timeout_s: float) -> None:
        """The server maps the POSIX segment of this name, and calls its region the same."""
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", byte_size=nbytes)
        await self._call(self._stub.SystemSharedMemoryRegister, request, timeout_s)

    async def unregister(self, name: str, timeout_s: float) -> None:
        """The server lets go of a region; one that it does not know is no error."""
        request = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
        await self._call(self._stub.SystemSharedMemoryUnregister, request, timeout_s)

    async def _infer_unary(self, request: bytes, timeout_s: float) -> bytes:
        headers = self._headers if self._trace is None else (*self._headers, ("traceparent", self._trace.child()))
        response: bytes = await self._call(self._infer, request, timeout_s, headers)
        return response

    async def statistics(self, timeout_s: float) -> list[ModelStatistics]:
        """What the server has counted of each of its models."""
        response = await self._call(self._stub.ModelStatistics, service_pb2.ModelStatisticsRequest(), timeout_s)
        return [_statistics(item) for item in response.model_stats]

    async def index(self, timeout_s: float) -> list[IndexEntry]:
        """Every model of the server's repository, ready or not, sorted by name."""
        response = await self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(), timeout_s)
        entries = [IndexEntry(entry.name, entry.state, entry.reason) for entry in response.models]
        return sorted(entries, key=lambda entry: entry.name)

    async def _call(self, method: Any, request: Any, timeout_s: float, headers: Any = None) -> Any:
        try:
            return await method(request, timeout=timeout_s, metadata=self._headers if headers is None else headers)
        except grpc.aio.AioRpcError as error:
            raise WireError(error.code().name, error.details() or "no details", self.address) from error
        except grpc.aio.UsageError as error:  # the channel was closed under the call
            raise WireError("CANCELLED", str(error), self.address) from error


def _channel(address: str, security: Security, target_name: str) -> grpc.aio.Channel:
    certificates = security.certificates()
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        # A server that comes back is found at once: the default waits grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 50),
        # The time that one attempt to connect may take: a TLS handshake to a far or busy server needs seconds.
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 250),
        # Channels with equal arguments would share one connection.
        ("grpc.use_local_subchannel_pool", 1),
        ("selector.channel", next(_channel_numbers)),
        ("grpc.enable_http_proxy", 0 if is_loopback(address) else 1),
        # Retries are the client's: gRPC's own would skip large messages silently and hide what happened.
        ("grpc.enable_retries", 0),
    ]
    if certificates is None:
        return grpc.aio.insecure_channel(address, options=options)
    if target_name:
        options.append(("grpc.ssl_target_name_override", target_name))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*certificates), options=options)


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
        backend=config.backend or config.platform,
        plans=tuple(sorted(config.cc_model_filenames)),
    )


def _tensor(item: Any) -> Tensor:
    datatype = model_config_pb2.DataType.Name(item.data_type).removeprefix("TYPE_")
    return Tensor(item.name, datatype, tuple(item.dims))


def _statistics(item: service_pb2.ModelStatistics) -> ModelStatistics:
    counted = item.inference_stats
    return ModelStatistics(
        name=item.name,
        requests=counted.success.count,
        rows=item.inference_count,
        executions=item.execution_count,
        total_ns=counted.success.ns,
        queue_ns=counted.queue.ns,
        compute_input_ns=counted.compute_input.ns,
        compute_infer_ns=counted.compute_infer.ns,
        compute_output_ns=counted.compute_output.ns,
    )
