"""Which servers a configuration means: "host:port" is one, "dns:///name:port" is one for each address of the name, and
"file:PATH" is those of a file's lines.

gRPC could look names up, but its `pick_first` sends everything to one address and its `round_robin` ignores slow ones; so the
client balances (delivery/replicas.py), and looks again (membership.py).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from client.errors import ServerError
from client.ranges import PORT

DNS, FILE = "dns:///", "file:"
_AS_SUCH = ("unix:", "unix-abstract:")
"""Schemes of gRPC whose rest is a name on this machine, without a port."""
_HOSTS = (DNS, "dns:", "ipv4:", "ipv6:")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$")
_UNIX_BYTES = 107
"""What a path of a Unix socket may have."""
_USUAL = 8001


@dataclass(frozen=True)
class Address:
    """Where a server is, and the name that its certificate must carry; an empty name is the address's own."""

    text: str
    name: str = ""


def read_servers(text: str) -> tuple[str, ...]:
    """The addresses of a list separated by commas. Raises ValueError that names the part that is none."""
    parts = tuple(part.strip() for part in text.split(","))
    if not any(parts):
        raise ValueError(f"{text!r} names no server: HOST:PORT is expected, such as localhost:{_USUAL}")
    if not all(parts):
        raise ValueError(f"{text!r}: a part of the list is empty, leave its comma out")
    check_servers(parts)
    return parts


def check_servers(servers: tuple[str, ...]) -> None:
    """Raises ValueError that names the first address that can be none, or that stands there twice."""
    seen: set[str] = set()
    for server in servers:
        host_and_port(server)
        if server.lower() in seen:
            raise ValueError(f"{server!r} is named twice: name every server once")
        seen.add(server.lower())


def host_and_port(server: str) -> tuple[str, int] | None:
    """Host and port of an address, brackets left away; None for a Unix socket. Raises ValueError with what is wrong."""
    if server.startswith(FILE):
        if not server.removeprefix(FILE):
            raise ValueError(f"{server!r}: expected the path of a file of addresses")
        return None
    if server.startswith(_AS_SUCH):
        _check_unix(server)
        return None
    scheme = _SCHEME.match(server)
    if scheme and not server.startswith(DNS):
        raise ValueError(f"{server!r}: an address has no {scheme[1]}://, leave it away and write HOST:PORT")
    given = next((p for p in _HOSTS if server.startswith(p) and (p == DNS or ":" in server.removeprefix(p))), "")
    rest = server.removeprefix(given)
    problem = _problem(rest)
    if problem:
        wanted = f"{given}NAME:PORT" if given else "HOST:PORT"
        example = f"{given}triton.example:{_USUAL}" if given else f"localhost:{_USUAL}"
        raise ValueError(f"{server!r}: {problem}; expected {wanted}, such as {example}")
    host, _, port = rest.rpartition(":")
    return host.strip("[]"), int(port)


def _check_unix(server: str) -> None:
    name = server.partition(":")[2].removeprefix("//")
    if not name or len(name.encode()) > _UNIX_BYTES:
        raise ValueError(
            f"{server!r}: expected the path of a socket of at most {_UNIX_BYTES} bytes, such as unix:/run/s"
        )


def _problem(text: str) -> str:
    """What is wrong with HOST:PORT, "" for nothing."""
    if not text:
        return "nothing stands there"
    if any(character.isspace() or character == ";" for character in text):
        return "it holds a space or a semicolon, and several servers are separated by commas"
    if "/" in text:
        return "an address has no path and ends with its port"
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    if not colon:
        return (
            "the host is missing" if text.isdigit() else f"the port is missing (Triton's gRPC port is usually {_USUAL})"
        )
    if not port.isascii() or not port.isdigit() or not PORT.holds(int(port)):
        return f"the port must be {PORT}, not {port!r}"
    return _problem_of_host(host)


def _problem_of_host(host: str) -> str:
    if not host:
        return "the host is missing"
    if host.startswith("[") and host.endswith("]"):
        return "" if _is_ip(host[1:-1].partition("%")[0], 6) else f"{host} is no IPv6 address in brackets"
    if ":" in host:
        return f"an IPv6 address stands in brackets, [{host}]:PORT" if _is_ip(host, 6) else "it has more than one port"
    if re.fullmatch(r"[0-9.]+", host):
        return "" if _is_ip(host, 4) else f"{host} is no IPv4 address"
    possible = _NAME.match(host) and len(host) <= 253 and all(len(label) <= 63 for label in host.split("."))
    return "" if possible else f"{host!r} is no name of a host"


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


async def resolve(servers: tuple[str, ...]) -> tuple[Address, ...]:
    """The addresses of all servers, without repetitions. Raises ServerError that names what can't be looked up."""
    found: dict[Address, None] = {}
    for server in servers:
        if server.startswith(FILE):
            found |= dict.fromkeys(await resolve(await asyncio.to_thread(_listed, Path(server.removeprefix(FILE)))))
        else:
            found |= dict.fromkeys(await _look_up(server) if server.startswith(DNS) else [Address(server)])
    return tuple(found)


def changing(servers: tuple[str, ...]) -> bool:
    """Whether other addresses may stand for these later."""
    return any(server.startswith((DNS, FILE)) for server in servers)


def _listed(path: Path) -> tuple[str, ...]:
    """The addresses in a file, one a line; what follows a # is a comment. Raises ServerError."""
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
        servers = tuple(filter(None, lines))
        check_servers(servers)
    except OSError as error:
        raise ServerError(f"the list of servers {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ServerError(f"the list of servers {path}: {error}") from None
    if not servers or any(server.startswith(FILE) for server in servers):
        raise ServerError(f"the list of servers {path} names {'another list' if servers else 'no server'}")
    return servers


async def _look_up(server: str) -> list[Address]:
    try:
        place = host_and_port(server)
    except ValueError as error:
        raise ServerError(f"server {error}") from None
    assert place is not None
    host, port = place
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ServerError(f"server {server!r}: the name {host} can't be looked up: {error.strerror}") from error
    return [Address(_join(family, str(to[0]), port), host) for family, _, _, _, to in infos]


def _join(family: int, host: str, port: int) -> str:
    return f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
