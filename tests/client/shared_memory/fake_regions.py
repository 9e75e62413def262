"""Shared memory of `FakeTriton`: real segments, mapped as a server maps them, and a record of every request that read them.

A request that is cancelled goes on reading, as a real server's does, until `finish` is called.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.shared_memory import slab

PARAMETERS = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")


@dataclass
class Reading:
    """One input of one request that lies in a region. content: when the request came. over: no more read."""

    region: str
    offset: int
    nbytes: int
    content: bytes
    over: bool = False

    def overlaps(self, other: Reading) -> bool:
        """Whether both lie in common bytes."""
        apart = self.offset + self.nbytes <= other.offset or other.offset + other.nbytes <= self.offset
        return self.region == other.region and not apart


class Regions:
    """readings: of all requests, in the order of their coming."""

    def __init__(self) -> None:
        self.maps: dict[str, mmap.mmap] = {}
        self.readings: list[Reading] = []
        self.registered = 0

    def register(self, name: str, key: str) -> None:
        """Raises OSError if there is no such segment."""
        with Path(slab.SHARED_MEMORY, key.removeprefix("/")).open("r+b") as file:
            self.maps[name] = mmap.mmap(file.fileno(), 0)
        self.registered += 1

    def unregister(self, name: str) -> bool:
        """False if it is in use; an unknown one is none."""
        if any(reading.region == name and not reading.over for reading in self.readings):
            return False
        with suppress(KeyError):
            self.maps.pop(name).close()
        return True

    def forget(self) -> None:
        """As a restart does."""
        self.maps.clear()

    def finish(self) -> None:
        """Every cancelled request has been read."""
        for reading in self.readings:
            reading.over = True

    def unknown(self, request: Any) -> str:
        """The first region that a request names and nobody registered, "" if none."""
        names = [tensor.parameters[PARAMETERS[0]].string_param for tensor in request.inputs if tensor.parameters]
        return next((name for name in names if name not in self.maps), "")

    def begin(self, request: Any) -> list[Reading]:
        """The request is here, and its inputs may be read from now on."""
        found = []
        for tensor in request.inputs:
            if tensor.parameters:
                region, offset, nbytes = (tensor.parameters[name] for name in PARAMETERS)
                at = slice(offset.int64_param, offset.int64_param + nbytes.int64_param)
                content = bytes(self.maps[region.string_param][at])
                found.append(Reading(region.string_param, offset.int64_param, nbytes.int64_param, content))
        self.readings += found
        return found

    def inline(self, request: Any, readings: list[Reading]) -> Any:
        """The request with all its contents in it, read now."""
        whole, waiting, inline = type(request)(), list(readings), list(request.raw_input_contents)
        whole.CopyFrom(request)
        del whole.raw_input_contents[:]
        for tensor in whole.inputs:
            if tensor.parameters:
                reading = waiting.pop(0)
                at = slice(reading.offset, reading.offset + reading.nbytes)
                whole.raw_input_contents.append(bytes(self.maps[reading.region][at]))
                tensor.parameters.clear()
            else:
                whole.raw_input_contents.append(inline.pop(0))
        return whole
