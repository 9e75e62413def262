"""Tensors that a server of this machine reads where they lie."""

from typing import TYPE_CHECKING

from client.doors import door

if TYPE_CHECKING:
    from client.shared_memory.registry import RegionRegistry as RegionRegistry
    from client.shared_memory.sharing import RegistryError as RegistryError
    from client.shared_memory.sharing import SharedMemory as SharedMemory
    from client.shared_memory.slab import aligned as aligned

__all__, __getattr__ = door(
    __name__,
    {
        "registry": ("RegionRegistry",),
        "sharing": ("RegistryError", "SharedMemory"),
        "slab": ("aligned",),
    },
)
