"""Which servers a configuration means: "host:port" is one, "dns:///name:port" is one for each address of the name.

Owns the looking up, once at the start. gRPC would look such a name up as well, but `pick_first` sends everything to one
of its addresses and `round_robin` ignores slow ones; balancing is ours (replicas.py).
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from client.errors import ServerError

DNS = "dns:///"


@dataclass(frozen=True)
class Address:
    """Where a server is, and the name that its certificate must carry; an empty name is the address's own."""

    text: str
    name: str = ""


async def resolve(servers: tuple[str, ...]) -> tuple[Address, ...]:
    """The addresses of all servers, without repetitions. Raises ServerError that names what can't be looked up."""
    found: dict[Address, None] = {}
    for server in servers:
        for address in await _look_up(server) if server.startswith(DNS) else (Address(server),):
            found[address] = None
    return tuple(found)


async def _look_up(server: str) -> list[Address]:
    host, _, port = server.removeprefix(DNS).rpartition(":")
    if not host or not port.isdigit():
        raise ServerError(f"server {server!r}: expected dns:///NAME:PORT, such as dns:///triton.example:8001")
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ServerError(f"server {server!r}: the name {host} can't be looked up: {error.strerror}") from error
    return [Address(_join(family, str(to[0]), int(port)), host) for family, _, _, _, to in infos]


def _join(family: int, host: str, port: int) -> str:
    return f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
