"""What a server says of itself to who starts it: liveness, failed models, version; in blocking calls, without an event loop."""

from __future__ import annotations

from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.errors import WireError
from client.wire.security import Security, is_loopback

TIMEOUT_S = 5.0


class Health:
    """Of the server at one address. Each question opens a connection of its own: one that failed would wait before the next."""

    def __init__(self, address: str, security: Security | None = None) -> None:
        self._address = address
        self._security = security or Security()

    def live(self) -> bool:
        """Whether it answers its liveness check."""
        try:
            return bool(self._ask("ServerLive", service_pb2.ServerLiveRequest()).live)
        except WireError:
            return False  # nobody listens yet

    def failed_models(self) -> dict[str, str]:
        """Model name → why it is not ready; empty if all are and the server calls itself ready. Raises WireError."""
        failed = {
            entry.name: entry.reason or "not loaded, since a model that it needs was not"
            for entry in self._ask("RepositoryIndex", service_pb2.RepositoryIndexRequest()).models
            if entry.state != "READY"
        }
        if not failed and not self._ask("ServerReady", service_pb2.ServerReadyRequest()).ready:
            return {"(server)": "every model is ready, but the server's readiness check fails"}
        return failed

    def version(self) -> str:
        """The server's version, such as "2.51.0". Raises WireError."""
        return str(self._ask("ServerMetadata", service_pb2.ServerMetadataRequest()).version)

    def _ask(self, method: str, request: Any) -> Any:
        certificates = self._security.certificates()
        options = [("grpc.enable_http_proxy", 0 if is_loopback(self._address) else 1)]
        channel = (
            grpc.insecure_channel(self._address, options)
            if certificates is None
            else grpc.secure_channel(self._address, grpc.ssl_channel_credentials(*certificates), options)
        )
        with channel:
            call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
            try:
                return call(request, timeout=TIMEOUT_S, metadata=self._security.headers)
            except grpc.RpcError as error:
                raise WireError(error.code().name, error.details() or "no details", self._address) from error
