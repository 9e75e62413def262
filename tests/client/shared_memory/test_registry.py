"""What a server's answers about shared memory mean."""

from __future__ import annotations

import asyncio

import pytest

from client.errors import WireError
from client.shared_memory.registry import RegionRegistry
from client.shared_memory.sharing import RegistryError


class Server:
    """Answers every call with one error, if it has one."""

    def __init__(self, version: str = "2.51.0", error: WireError | None = None) -> None:
        self._version, self._error = version, error

    async def version(self, timeout_s: float) -> str:
        if self._error is not None:
            raise self._error
        return self._version

    async def register(self, name: str, nbytes: int, timeout_s: float) -> None:
        if self._error is not None:
            raise self._error

    async def unregister(self, name: str, timeout_s: float) -> None:
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("version", "counts"),
    [("2.51.0", True), ("2.50.0", True), ("2.100.1", True), ("3.0.0", True), ("2.49.0", False), ("unknown", False)],
)
def test_a_server_counts_readers_from_its_version_on(version: str, counts: bool) -> None:
    """One that can't be told is treated as one that does not."""
    assert asyncio.run(RegionRegistry(Server(version)).counts_readers()) == counts


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        ("INTERNAL", "Unable to open shared memory region: '/selector-1'", "--ipc=host"),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'triton-grpc-protocol-key'", "--header-file"),
        ("UNIMPLEMENTED", "", "--allow-client-shm=true"),
        ("UNAVAILABLE", "connection refused", "connection refused"),
    ],
)
def test_a_refusal_says_what_to_do(status: str, message: str, hint: str) -> None:
    registry = RegionRegistry(Server(error=WireError(status, message, "localhost:8001")))
    with pytest.raises(RegistryError, match=hint):
        asyncio.run(registry.register("selector-1", 4096))


def test_a_region_in_use_is_no_error_and_anything_else_is_one() -> None:
    in_use = WireError("INTERNAL", "Cannot unregister shared memory region 'x', it is currently in use.", "a")
    assert asyncio.run(RegionRegistry(Server()).unregister("x"))
    assert not asyncio.run(RegionRegistry(Server(error=in_use)).unregister("x"))
    with pytest.raises(RegistryError, match="gone"):
        asyncio.run(RegionRegistry(Server(error=WireError("UNAVAILABLE", "gone", "a"))).unregister("x"))
