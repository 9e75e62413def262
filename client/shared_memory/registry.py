"""A server's registry of shared memory regions: what its answers mean, and what to do about a refusal."""

from __future__ import annotations

import re
from typing import Protocol

from client.errors import WireError
from client.shared_memory.sharing import RegistryError

REGISTRY_S = 2.0
"""What one call may take: requests wait for it."""
COUNTS_READERS = (2, 50)
"""Servers from this version on (24.09) do not unmap a region under a request that they know to use it."""
_IN_USE = "currently in use"

# A part of the refusal → what to do. The first text is that of 2.51.
_HINTS = (
    (
        "Unable to open shared memory region",
        "the server does not see this machine's /dev/shm, or not as this user; if it is in a container, start that with "
        "--ipc=host and the --user of this program; a port that is forwarded from another machine can't share memory",
    ),
    ("protocol is restricted", "the server restricts the protocol shared-memory: put its header into --header-file"),
    ("allow-client-shm", "start the server with --allow-client-shm=true"),
    ("UNIMPLEMENTED", "the server has it not, or turned off; newer ones need --allow-client-shm=true"),
)


class Calls(Protocol):
    """Of `Connection`; each raises WireError."""

    async def version(self, timeout_s: float) -> str:
        """The server's version."""

    async def register(self, name: str, nbytes: int, timeout_s: float) -> None:
        """Registers the segment of this name under the same name."""

    async def unregister(self, name: str, timeout_s: float) -> None:
        """Unregisters a region."""


class RegionRegistry:
    """As sharing.py asks for it; every method raises RegistryError."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def register(self, name: str, nbytes: int) -> None:
        """The server maps the segment of this name."""
        try:
            await self._calls.register(name, nbytes, REGISTRY_S)
        except WireError as error:
            hint = next((hint for text, hint in _HINTS if text in str(error)), "")
            raise RegistryError(f"{error}\n  {hint}" if hint else str(error)) from error

    async def unregister(self, name: str) -> bool:
        """Whether the server lets it go; 2.51 refuses while it is in use, later ones do it then by themselves."""
        try:
            await self._calls.unregister(name, REGISTRY_S)
        except WireError as error:
            if _IN_USE in error.message:
                return False
            raise RegistryError(str(error)) from error
        return True

    async def counts_readers(self) -> bool:
        """Whether the server's version is one that counts them."""
        try:
            version = await self._calls.version(REGISTRY_S)
        except WireError as error:
            raise RegistryError(str(error)) from error
        found = re.match(r"(\d+)\.(\d+)", version)
        return found is not None and (int(found[1]), int(found[2])) >= COUNTS_READERS
