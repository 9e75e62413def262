"""What stands at the ports of real servers, seen before anything is started."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.wire.reach import look_at
from client.wire.security import Security
from selector.doctor import examine
from tests.integration.certificates import PROBLEM, make_certificates


def notes_of(*servers: str, security: Security | None = None) -> list[str]:
    notes: list[str] = []
    look_at(servers, security or Security(), notes.append)
    return notes


@pytest.mark.server
def test_the_http_and_metrics_ports_of_a_triton_are_recognised_by_their_answer(toy_repository: Path) -> None:
    with EmbeddedServer(toy_repository, threads=1, grpc_port=0, http_port=0, metrics_port=0) as server:
        assert notes_of(server.grpc_url) == []
        for url in (server.http_url, server.metrics_url.split("/")[2]):
            with pytest.raises(ServerError, match="answers HTTP, not gRPC"):
                notes_of(server.grpc_url, url)
        assert "answers HTTP, not gRPC" in examine((server.http_url,))[-1].detail


@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
def test_a_port_of_tls_is_recognised_and_none_where_tls_is_wanted(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    pair = grpc.ssl_server_credentials([(made.server_key.read_bytes(), made.server.read_bytes())])
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", pair)
    server.start()
    try:
        with pytest.raises(ServerError, match="speaks TLS on this port: give --tls-ca FILE"):
            notes_of(f"127.0.0.1:{port}")
        assert notes_of(f"127.0.0.1:{port}", security=Security(tls_ca="system")) == []
    finally:
        server.stop(None).wait()
