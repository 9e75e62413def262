"""Servers that come and go while rows are sent: names are looked up again, lists are read again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from client.delivery.replica import Replica
from client.delivery.replicas import Fleet
from client.errors import ServerError
from client.wire import Address

FOLLOW_S = 5.0
"""Seconds between two looks."""


async def follow(
    fleet: Fleet,
    members: dict[Address, Replica],
    look: Callable[[], Awaitable[Sequence[Address]]],
    joining: Callable[[Address], Replica],
) -> None:
    """Brings the fleet up to date with who is there, for ever.

    members: who is there now, kept up to date. look: who is there; where it can't say, whoever was there stays. joining: makes
    the replica of a new address; it gets rows when a probe finds it. Who leaves answers what it holds, and is closed then.
    """
    leaving: list[Replica] = []
    while True:
        await asyncio.sleep(FOLLOW_S)
        for replica in [replica for replica in leaving if not replica.in_flight]:
            leaving.remove(replica)
            await replica.connection.close()
        try:
            now = await look()
        except ServerError:  # a name server or a disk that is away, or a list that is being written
            continue
        for address in [address for address in now if address not in members]:
            members[address] = joining(address)
            fleet.add(members[address])
        for address in [address for address in members if address not in now]:
            leaving.append(members.pop(address))
            fleet.remove(leaving[-1])
