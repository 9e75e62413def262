"""A batch becomes bytes, and bytes reach one server."""

from typing import TYPE_CHECKING

from client.doors import door

if TYPE_CHECKING:
    from client.wire.addresses import Address as Address
    from client.wire.addresses import changing as changing
    from client.wire.addresses import check_servers as check_servers
    from client.wire.addresses import read_servers as read_servers
    from client.wire.addresses import resolve as resolve
    from client.wire.advisories import advisory as advisory
    from client.wire.answers import check_outputs as check_outputs
    from client.wire.connection import Connection as Connection
    from client.wire.connection import WireError as WireError
    from client.wire.health import Health as Health
    from client.wire.reach import look_at as look_at
    from client.wire.security import Security as Security
    from client.wire.security import SecurityError as SecurityError
    from client.wire.security import advice as advice
    from client.wire.security import headers_from as headers_from
    from client.wire.statuses import CAUSES as CAUSES
    from client.wire.statuses import QUEUE_FULL as QUEUE_FULL
    from client.wire.statuses import QUEUE_TIMEOUT as QUEUE_TIMEOUT
    from client.wire.statuses import Remedy as Remedy
    from client.wire.statuses import cause as cause
    from client.wire.statuses import remedy as remedy
    from client.wire.told import IndexEntry as IndexEntry
    from client.wire.told import ModelStatistics as ModelStatistics
    from client.wire.told import ServedModel as ServedModel
    from client.wire.told import served_model as served_model
    from client.wire.tracing import Trace as Trace
    from client.wire.transports import STREAM_BYTES as STREAM_BYTES
    from client.wire.transports import TRANSPORTS as TRANSPORTS

__all__, __getattr__ = door(
    __name__,
    {
        "addresses": ("Address", "changing", "check_servers", "read_servers", "resolve"),
        "advisories": ("advisory",),
        "answers": ("check_outputs",),
        "connection": ("Connection", "WireError"),
        "health": ("Health",),
        "reach": ("look_at",),
        "security": ("Security", "SecurityError", "advice", "headers_from"),
        "statuses": ("CAUSES", "QUEUE_FULL", "QUEUE_TIMEOUT", "Remedy", "cause", "remedy"),
        "told": ("IndexEntry", "ModelStatistics", "ServedModel", "served_model"),
        "tracing": ("Trace",),
        "transports": ("STREAM_BYTES", "TRANSPORTS"),
    },
)
