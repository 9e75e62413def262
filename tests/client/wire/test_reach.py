"""What stands at an address, seen before anything is started."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest

from client.errors import ServerError
from client.wire import reach
from client.wire.reach import look_at
from client.wire.security import Security

TLS = Security(tls_ca="system")


def notes_of(*servers: str, security: Security | None = None) -> list[str]:
    notes: list[str] = []
    look_at(servers, security or Security(), notes.append)
    return notes


@pytest.fixture
def grpc_server() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def http_server() -> Iterator[str]:
    class Quiet(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A server that answers so to whatever comes, or, without an answer, accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if answer is not None:
                    with connection:
                        connection.recv(100)
                        connection.sendall(answer)
                else:
                    held.append(connection)

        held: list[socket.socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def test_a_port_of_grpc_is_no_news(grpc_server: str) -> None:
    assert notes_of(grpc_server) == []
    assert notes_of(grpc_server.replace("127.0.0.1", "dns:///localhost")) == []


def test_a_port_of_grpc_without_tls_is_told_from_one_with(grpc_server: str) -> None:
    with pytest.raises(ServerError, match=f"server {grpc_server} speaks plaintext on this port: leave --tls-ca out"):
        notes_of(grpc_server, security=TLS)


@pytest.mark.parametrize("security", [Security(), TLS], ids=["plaintext", "tls"])
def test_a_port_of_http_is_recognised_by_its_answer(http_server: str, security: Security) -> None:
    with pytest.raises(ServerError, match=f"server {http_server} answers HTTP, not gRPC: give its gRPC port"):
        notes_of(http_server, security=security)


def test_a_port_where_nobody_listens_is_said_at_once_and_waited_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{taken.getsockname()[1]}"
        assert notes_of(server) == [f"{server}: nobody listens there; a server that is still starting is waited for"]


@pytest.mark.parametrize("answer", [None, b"", b"SSH-2.0-OpenSSH_9\r\n"])
def test_what_is_not_recognised_is_left_to_the_client(answer: bytes | None) -> None:
    with listening(answer) as server:
        assert notes_of(server) == []


def test_a_name_that_nobody_knows_is_named() -> None:
    with pytest.raises(ServerError, match=r"the name no\.such\.invalid can't be looked up .* correct it in --server"):
        notes_of("127.0.0.1:1", "no.such.invalid:8001")


def test_a_name_is_not_looked_up_where_a_proxy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert notes_of("no.such.invalid:8001") == []


def test_a_slow_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def slow(*_: object, **__: object) -> None:
        done.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(reach, "PATIENCE_S", 0.05)
    monkeypatch.setattr(reach.socket, "getaddrinfo", slow)
    started = time.monotonic()
    assert notes_of("slow.example:8001", "slower.example:8001") == []
    assert time.monotonic() - started < 30
    done.set()


def test_a_socket_of_unix_where_nobody_listens_is_said_at_once_and_waited_for(tmp_path: Path) -> None:
    nowhere, stale = f"unix:{tmp_path}/none:1", f"unix:{tmp_path}/sock:1"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{tmp_path}/sock:1")
        one.listen()
        assert notes_of(stale) == []
    for server in (nowhere, stale):
        assert notes_of(server) == [f"{server}: nobody listens there; a server that is still starting is waited for"]


def test_a_socket_of_another_user_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second user tries it in tests/integration/test_other_users.py."""

    def forbid(*_: object) -> None:
        raise PermissionError

    class Forbidden(socket.socket):
        connect = forbid  # type: ignore[assignment]

    monkeypatch.setattr(reach.socket, "socket", Forbidden)
    with pytest.raises(ServerError, match="this user may not open the socket /run/theirs"):
        notes_of("unix:/run/theirs")
