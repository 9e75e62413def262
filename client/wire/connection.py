"""The KServe-v2 gRPC protocol: with bidi.py, all that imports grpc.

tritonclient's own Python layer is not used: it drops the id of a failed response and copies every tensor twice more.
Inferences go through the channel as bytes (messages.py), the rest through the stub that it generates.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.contract import Model, Tensor
from client.errors import ServerError, WireError
from client.shared_memory import RegionRegistry, RegistryError, SharedMemory
from client.statistics import Sharing
from client.wire.bidi import InferenceStream
from client.wire.chaining import infer_in_steps
from client.wire.security import Security, is_loopback
from client.wire.told import IndexEntry, ModelStatistics, ServedModel, model_statistics, served_model
from client.wire.tracing import Trace
from client.wire.transports import AUTO, SHARED_MEMORY, STREAM, Inferences

__all__ = ["Connection", "WireError"]

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
MESSAGE_BYTES = 256 << 20
"""No message of ours comes near; a server that sends a larger one is refused."""
MODEL_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
_NO_SUCH_MODEL = ("NOT_FOUND", "INVALID_ARGUMENT", "UNKNOWN")
_channel_numbers = itertools.count()


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
        self._core_only = False
        self._leaves: Mapping[str, Model] = {}
        self._chained: Collection[str] = ()

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
        return (await self.software(timeout_s))[1]

    async def software(self, timeout_s: float) -> tuple[str, str]:
        """The server's name and version, such as "triton" and "2.51.0"."""
        response = await self._call(self._stub.ServerMetadata, service_pb2.ServerMetadataRequest(), timeout_s)
        return str(response.name), str(response.version)

    async def model_names(self, timeout_s: float) -> list[str]:
        """The names of all models that are ready, sorted."""
        request = service_pb2.RepositoryIndexRequest(ready=True)
        response = await self._call(self._stub.RepositoryIndex, request, timeout_s)
        return sorted({entry.name for entry in response.models})

    async def model(self, name: str, timeout_s: float) -> ServedModel:
        """What the server says of one model."""
        request = service_pb2.ModelConfigRequest(name=name)
        return served_model((await self._call(self._stub.ModelConfig, request, timeout_s)).config)

    async def has_configs(self, name: str, timeout_s: float) -> bool:
        """Whether the server can say how its models are configured, which is an extension of Triton's. name: of any model."""
        try:
            await self.model(name, timeout_s)
        except WireError as error:
            return error.status != "UNIMPLEMENTED"
        return True

    async def model_ready(self, name: str, timeout_s: float) -> bool:
        """Whether the server has this model, ready. What servers say of a model that they don't have is not agreed on."""
        request = service_pb2.ModelReadyRequest(name=name)
        try:
            return bool((await self._call(self._stub.ModelReady, request, timeout_s)).ready)
        except WireError as error:
            if error.status in _NO_SUCH_MODEL:
                return False
            raise

    async def tensors(self, name: str, timeout_s: float) -> tuple[Tensor, ...]:
        """The inputs and outputs that the server's metadata list of a model, with the batch as their dim 0; none if it
        lists none."""
        request = service_pb2.ModelMetadataRequest(name=name)
        told = await self._call(self._stub.ModelMetadata, request, timeout_s)
        return tuple(Tensor(t.name, t.datatype, tuple(t.shape)) for t in (*told.inputs, *told.outputs))

    def adapt(self, models: Mapping[str, Model], *, core_only: bool, chained: Collection[str] = ()) -> None:
        """To the server that was met. core_only: it has the Open Inference Protocol's core, so no stream of Triton's kind and
        no shared memory. chained: ensembles among `models` that it does not have, and that are asked step by step."""
        self._leaves, self._chained = models, chained
        self._core_only = self._inferences.unary_only = core_only

    async def infer(
        self, model: Model, rows: Sequence[Mapping[str, NDArray[Any]]], timeout_s: float
    ) -> dict[str, NDArray[Any]]:
        """One inference of all rows: output name → array whose dim 0 is the row, read-only.

        timeout_s bounds the call and, as Triton's own timeout, the wait in the server's queue. Raises ContractError for a
        step of a chained ensemble that answers with other tensors than declared.
        """
        if model.name in self._chained:
            return await infer_in_steps(model, self._leaves, rows, timeout_s, self._inferences.infer)
        return await self._inferences.infer(model, rows, timeout_s)

    async def open_transport(self, timeout_s: float) -> None:
        """Sees to it that a transport that was asked for by name can be had. Raises ServerError that says why not."""
        if self._core_only and self._transport in (STREAM, SHARED_MEMORY):
            raise ServerError(
                f"transport {self._transport} is an extension of Triton's, which the server at {self.address} does not have: "
                "choose unary or auto"
            )
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
        return [model_statistics(item) for item in response.model_stats]

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
