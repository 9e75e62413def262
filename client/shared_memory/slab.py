"""One segment of POSIX shared memory and the slots in it: where a request's rows lie while a server reads them.

Owns the segment's pages, which slot is whose, and that a slot is never given out again before the server is done with
it: a slot comes back only if its holder says so, every other one is retired until the segment goes. Linux: a file in
/dev/shm, made under an unguessable name, which lives until `unlink`; the pages live until the last process that mapped
them lets go.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import shutil
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "selector-"
ALIGNMENT = 64
"""Of every slot and every tensor in it: a cache line, and what vector instructions ask for."""
SPARE_BYTES = 32 << 20
"""Left free for others: a server that finds /dev/shm full is killed by SIGBUS."""


class SlabError(Exception):
    """No segment of this size can be had; the text says why."""


def aligned(nbytes: int) -> int:
    """Rounded up to the alignment."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Extents:
    """Which parts of `size` bytes are free. First fit, lowest address first: the same few pages are used again."""

    def __init__(self, size: int) -> None:
        self._free = [(0, size)]
        """(offset, bytes) by offset; neighbours are joined."""

    def take(self, nbytes: int) -> int | None:
        """The offset of so many bytes (a multiple of the alignment), None if no free part is as large."""
        for position, (offset, free) in enumerate(self._free):
            if free > nbytes:
                self._free[position] = (offset + nbytes, free - nbytes)
                return offset
            if free == nbytes:
                del self._free[position]
                return offset
        return None

    def give_back(self, offset: int, nbytes: int) -> None:
        """Frees what `take` gave."""
        position = bisect(self._free, (offset, nbytes))
        if position < len(self._free) and offset + nbytes == self._free[position][0]:
            nbytes += self._free.pop(position)[1]
        if position and sum(self._free[position - 1]) == offset:
            before, held = self._free.pop(position - 1)
            position, offset, nbytes = position - 1, before, held + nbytes
        self._free.insert(position, (offset, nbytes))

    def whole_pages(self) -> Iterator[tuple[int, int]]:
        """(offset, bytes) of the free parts, each cut down to whole pages."""
        for offset, nbytes in self._free:
            first, end = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE, (offset + nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
            if first < end:
                yield first, end - first


class Slot:
    """A part of a slab for one request. done: set by the holder once the server reads it no more."""

    def __init__(self, slab: Slab, offset: int, nbytes: int) -> None:
        self.slab = slab
        self.offset = offset
        self.nbytes = nbytes
        self.done = False

    @property
    def memory(self) -> memoryview:
        """Its bytes, writable."""
        return self.slab.view[self.offset : self.offset + self.nbytes]


class Slab:
    """A segment of `nbytes`, of this user alone (mode 0600), mapped and with all pages had at once: a page that could
    not be had later would kill the process. Raises SlabError. live: slots held now. retired_bytes: gone for good."""

    def __init__(self, nbytes: int) -> None:
        if not SHARED_MEMORY.is_dir():
            raise SlabError(f"this system has no {SHARED_MEMORY}")
        if shutil.disk_usage(SHARED_MEMORY).free < nbytes + SPARE_BYTES:
            raise SlabError(f"{SHARED_MEMORY} has no room for {nbytes >> 20} MiB and {SPARE_BYTES >> 20} MiB to spare")
        self.name = PREFIX + secrets.token_hex(16)
        self.nbytes = nbytes
        self.live = self.retired_bytes = 0
        self._path = SHARED_MEMORY / self.name
        self._extents = Extents(nbytes)
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, nbytes)
                self._map = mmap.mmap(descriptor, nbytes)
                self._map.madvise(mmap.MADV_DONTFORK)  # a child would keep the pages, and could write into them
            finally:
                os.close(descriptor)
        except OSError as error:
            self.unlink()
            raise SlabError(f"{nbytes >> 20} MiB of {SHARED_MEMORY} can't be had: {error.strerror}") from error
        self.view = memoryview(self._map)

    def take(self, nbytes: int) -> Slot | None:
        """A slot of so many bytes, to be ended with `end`; None if no free part is as large."""
        size = aligned(max(1, nbytes))
        offset = self._extents.take(size)
        if offset is None:
            return None
        self.live += 1
        return Slot(self, offset, size)

    def end(self, slot: Slot) -> None:
        """Frees a slot that is done, retires any other."""
        self.live -= 1
        if slot.done:
            self._extents.give_back(slot.offset, slot.nbytes)
        else:
            self.retired_bytes += slot.nbytes

    def shrink(self) -> None:
        """Gives the pages of free slots back to the system; no further slot is to be taken."""
        for offset, nbytes in self._extents.whole_pages():
            self._map.madvise(mmap.MADV_REMOVE, offset, nbytes)

    def unlink(self) -> None:
        """Removes the name; whoever has mapped the segment keeps it."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Removes the name, and this process's mapping."""
        self.unlink()
        # A traceback may still hold a part of it; then the mapping goes with the traceback.
        with contextlib.suppress(BufferError):
            self.view.release()
            self._map.close()
