"""A TCP proxy between client and server that mistreats what passes, as a test tells it to."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Self

Mistreat = Callable[[bytes, asyncio.StreamWriter], Awaitable[bytes | None]]
"""From a chunk to what is passed on of it; None ends the connection."""

CHUNK = 4096


class FaultyProxy:
    """An async context manager; `address` leads to `target` ("host:port" or "unix:PATH") through `mistreat`."""

    def __init__(self, target: str, mistreat: Mistreat | None = None) -> None:
        self._target = target
        self.mistreat = mistreat
        self.address = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writers = [writer]
        try:
            there, back = await _connected(self._target)
            writers.append(back)
            pumps = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the server is away, which the client is to find out
        finally:
            for each in writers:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            passed = await self.mistreat(chunk, writer) if self.mistreat else chunk
            if passed is None:
                return
            writer.write(passed)
            await writer.drain()


async def _connected(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"))
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def delaying(chance: random.Random, longest_s: float) -> Mistreat:
    """Every chunk comes late."""

    async def mistreat(chunk: bytes, _: asyncio.StreamWriter) -> bytes:
        await asyncio.sleep(chance.uniform(0, longest_s))
        return chunk

    return mistreat


def throttling(bytes_per_s: float) -> Mistreat:
    """Chunks pass as slowly as on a thin line."""

    async def mistreat(chunk: bytes, _: asyncio.StreamWriter) -> bytes:
        await asyncio.sleep(len(chunk) / bytes_per_s)
        return chunk

    return mistreat


def truncating(chance: random.Random, share: float) -> Mistreat:
    """Now and then half of a chunk passes, and then nothing more."""

    async def mistreat(chunk: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        if chance.random() >= share:
            return chunk
        writer.write(chunk[: len(chunk) // 2])
        await writer.drain()
        return None

    return mistreat


def resetting(chance: random.Random, share: float) -> Mistreat:
    """Now and then the connection ends with an RST."""

    async def mistreat(chunk: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        if chance.random() >= share:
            return chunk
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return None

    return mistreat


def flipping(chance: random.Random, share: float) -> Mistreat:
    """Now and then one bit of a chunk is wrong."""

    async def mistreat(chunk: bytes, _: asyncio.StreamWriter) -> bytes:
        if chance.random() >= share:
            return chunk
        spoilt = bytearray(chunk)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        return bytes(spoilt)

    return mistreat


async def swallowing(chunk: bytes, _: asyncio.StreamWriter) -> bytes:
    """Nothing passes, and nobody is told."""
    return b""
