"""How a room hands out its public names: each is imported when it is first asked for.

gRPC takes a quarter of a second to import, and most commands that only read the contract, an address or a row do without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def door(room: str, names: Mapping[str, Sequence[str]]) -> tuple[list[str], Callable[[str], Any]]:
    """`__all__` and `__getattr__` of a package. names: its modules → what each hands out."""
    home = {name: module for module, handed_out in names.items() for name in handed_out}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(import_module(f"{room}.{home[name]}"), name)

    return sorted(home), get
