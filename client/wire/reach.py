"""What stands at a server's address, seen before anything is started: gRPC, HTTP, TLS, nobody, or not known.

What is not recognised is no mistake: a proxy, a slow name server or a busy server is left to the client, which waits
and says what it met.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from threading import Thread

from client.errors import ServerError
from client.wire.addresses import host_and_port
from client.wire.security import Security, is_loopback

PATIENCE_S = 1.8
"""What all addresses together may take; they are looked at side by side."""
_CALL_S = 0.6
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_HTTP = b"HTTP/1"
_SOCKET = "unix:"
_NOBODY = "{}: nobody listens there; a server that is still starting is waited for"
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def look_at(servers: Sequence[str], security: Security, note: Callable[[str], None]) -> None:
    """Raises ServerError for an address whose name nobody knows, or where something else than gRPC answers.

    note: gets a line about an address where nobody listens yet, since a server that is starting is waited for. Returns
    within two seconds.
    """
    found: dict[str, ServerError | str] = {}
    threads = [Thread(target=_into, args=(found, server, security), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for server in servers:
        seen = found.get(server, "")
        if isinstance(seen, ServerError):
            raise seen
        if seen:
            note(seen)


def _into(found: dict[str, ServerError | str], server: str, security: Security) -> None:
    try:
        found[server] = _seen(server, tls=security.tls_ca is not None)
    except ServerError as error:
        found[server] = error


def _seen(server: str, *, tls: bool) -> str:
    """A note, or "". Raises ServerError for what no waiting can mend."""
    place = host_and_port(server)
    if place is None:
        return _seen_socket(server)
    if _by_proxy(server):
        return ""
    try:
        socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ServerError(
            f"server {server}: the name {place[0]} can't be looked up ({error.strerror}): correct it in --server"
        ) from None
    try:
        answer = _answer(place, _PREFACE)
    except ConnectionRefusedError:
        return _NOBODY.format(server)
    except OSError:
        return ""
    if not (answer[:1] == b"\0" and answer[3:4] == b"\4"):  # HTTP/2's frame SETTINGS
        if not answer.startswith(_HTTP):
            answer = _answer_or_nothing(place, _GET)
        problem = _problem(answer, _speaks_tls(place), tls)
    else:
        problem = "speaks plaintext on this port: leave --tls-ca out, or give its TLS port" if tls else ""
    if problem:
        raise ServerError(f"server {server} {problem}")
    return ""


def _seen_socket(server: str) -> str:
    """As `_seen`, of a Unix socket with a path; of a file with a list of servers, nothing."""
    if not server.startswith(_SOCKET):
        return ""
    path = server.removeprefix(_SOCKET).removeprefix("//")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
    except PermissionError:
        raise ServerError(
            f"server {server}: this user may not open the socket {path}: run the command as the user of its server"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        return _NOBODY.format(server)
    except OSError:
        return ""  # what else may be wrong there, the connection will say
    return ""


def _problem(answer: bytes, speaks_tls: bool, tls: bool) -> str:
    """What is wrong with a port that does not answer a plaintext greeting as gRPC does, "" for nothing."""
    if speaks_tls:
        return "" if tls else "speaks TLS on this port: give --tls-ca FILE, or --tls-ca system"
    if answer.startswith(_HTTP):
        return "answers HTTP, not gRPC: give its gRPC port, Triton's is usually 8001"
    return ""


def _answer(place: tuple[str, int], greeting: bytes) -> bytes:
    with socket.create_connection(place, _CALL_S) as connection:
        connection.sendall(greeting)
        try:
            return connection.recv(4096)
        except OSError:
            return b""


def _answer_or_nothing(place: tuple[str, int], greeting: bytes) -> bytes:
    try:
        return _answer(place, greeting)
    except OSError:
        return b""


def _speaks_tls(place: tuple[str, int]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # nothing is sent: only whether it is TLS is asked
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection(place, _CALL_S) as connection, context.wrap_socket(connection):
            return True
    except OSError:
        return False


def _by_proxy(server: str) -> bool:
    """Whether gRPC would go through a proxy, which looks names up itself."""
    return not is_loopback(server) and any(os.environ.get(name) for name in _PROXIES)
