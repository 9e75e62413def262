"""Everything between an image in memory and its loss map or feature, served by Triton."""

from typing import TYPE_CHECKING

from client import telemetry
from client.doors import door

if TYPE_CHECKING:
    from client.config import ClientConfig as ClientConfig
    from client.rows import Answer as Answer
    from client.rows import Failure as Failure
    from client.rows import Row as Row
    from client.rows import encode_row as encode_row
    from client.rows import feature_row as feature_row
    from client.rows import loss_row as loss_row
    from client.scoring import ScoringClient as ScoringClient

__all__, __getattr__ = door(
    __name__,
    {
        "config": ("ClientConfig",),
        "rows": ("Answer", "Failure", "Row", "encode_row", "feature_row", "loss_row"),
        "scoring": ("ScoringClient",),
    },
)

telemetry.switch_off()
