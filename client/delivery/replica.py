"""One server of a client, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from client.delivery.pacing import AdaptiveBound
from client.wire import Connection


@dataclass(eq=False)
class Replica:
    """One server with what it holds: in_flight rows."""

    connection: Connection
    bound: AdaptiveBound
    ready: bool = True
    reason: str = ""
    in_flight: int = 0
    rows: int = 0
    requests: int = 0
    failed: int = 0
    ejections: int = 0
    strikes: int = 0
    setbacks: int = 0
    """Ejections since the last answer."""
    refusals: int = 0
    """Pauses for a full queue since the last answer."""
    paused: bool = False

    def has_room(self, rows: int) -> bool:
        """A batch that is larger than the bound is let through alone."""
        return self.ready and not self.paused and (self.in_flight == 0 or self.in_flight + rows <= self.bound.limit)
