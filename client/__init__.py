"""Everything between an image in memory and its loss map or feature, served by Triton.

The names below are imported when they are first asked for: gRPC takes a quarter of a second, and most commands that only
read the contract or the rows do without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from client import telemetry

if TYPE_CHECKING:
    from client.rows import Answer, Failure, Row, encode_row, feature_row, loss_row
    from client.scoring import ClientConfig, ScoringClient

__all__ = ["Answer", "ClientConfig", "Failure", "Row", "ScoringClient", "encode_row", "feature_row", "loss_row"]

telemetry.switch_off()


def __getattr__(name: str) -> Any:
    """One of the public names; they come from two files."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = "client.scoring" if name in {"ClientConfig", "ScoringClient"} else "client.rows"
    return getattr(import_module(file), name)
