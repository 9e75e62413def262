"""Where a server listens: on a Unix socket of its run folder, and on the ports of loopback that were asked for."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from client.errors import EmbeddedError

LOOPBACK = "127.0.0.1"
_SOCKET = "grpc"
_NUMBER = 1
"""tritonserver joins path and port by a colon, for a socket too: `--grpc-address=unix:PATH --grpc-port=N` makes PATH:N."""


@dataclass(frozen=True)
class Ports:
    """What is asked for: 0 is a free port, None no port. Without one, gRPC has a socket, and the other two are off."""

    grpc: int | None = None
    http: int | None = None
    metrics: int | None = None


@dataclass(frozen=True)
class Endpoints:
    """Addresses as clients name them: "unix:PATH:1" or "127.0.0.1:PORT"; "" for what is off."""

    grpc: str
    http: str
    metrics: str

    def arguments(self) -> list[str]:
        """The flags of tritonserver that make it listen there and nowhere else."""
        flags = []
        for name, address in (("grpc", self.grpc), ("http", self.http), ("metrics", self.metrics)):
            host, _, port = address.rpartition(":")
            flags += [f"--{name}-address={host}", f"--{name}-port={port}"] if address else [f"--allow-{name}=false"]
        return flags

    def opened(self) -> bool:
        """Whether HTTP and metrics listen, which a server opens after gRPC."""
        for address in filter(None, (self.http, self.metrics)):
            host, _, port = address.rpartition(":")
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) != 0:
                    return False
        return True


def socket_path(folder: Path) -> Path:
    """The file that the socket of a server in this folder is."""
    return folder / f"{_SOCKET}:{_NUMBER}"


def choose(wanted: Ports, folder: Path) -> Endpoints:
    """Endpoints with free ports of loopback where 0 is wanted; a socket lies in `folder`.

    Raises EmbeddedError if a port that was given is taken.
    """
    with ExitStack() as stack:  # every port is held until all are chosen, else two could be the same
        grpc = f"unix:{socket_path(folder)}" if wanted.grpc is None else _free(wanted.grpc, stack)
        http, metrics = ("" if port is None else _free(port, stack) for port in (wanted.http, wanted.metrics))
        return Endpoints(grpc, http, metrics)


def _free(port: int, stack: ExitStack) -> str:
    probe = stack.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
    except OSError as error:
        raise EmbeddedError(f"port {port} of {LOOPBACK} can't be used: {error.strerror}") from error
    return f"{LOOPBACK}:{probe.getsockname()[1]}"
