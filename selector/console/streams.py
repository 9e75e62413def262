"""The standard streams of a command, of which none can stop it: a message that can't be written is lost, not an error.

It replaces the descriptors 0, 1 and 2 and Python's two files on them, so everything that writes there goes through
here: click, rich, print, logging, warnings. A stream may be closed from the start, on a full disk, or of a reader or
terminal that vanished meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import TextIO

STANDARD = (0, 1, 2)


class _Output(io.FileIO):
    """A descriptor that takes everything; `lost` is why something was not written. absent: it stands for a closed one."""

    def __init__(self, descriptor: int, *, absent: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None
        self._absent = absent

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        nbytes = memoryview(data).nbytes
        try:
            if self._absent:
                raise OSError(errno.EBADF, "it is closed")
            while (written := super().write(data)) is None:  # not blocking, as a terminal that others share may be
                select.select([], [self], [])
        except OSError as error:
            self.lost = self.lost or error
            return nbytes
        return written


def prepare() -> None:
    """Opens what is closed of 0, 1 and 2 on the null device, and puts files that never fail on 1 and 2.

    Of a closed one the next file opened would take the number, and get the messages of this process and its children.
    """
    closed = {descriptor for descriptor in STANDARD if not _open(descriptor)}
    for _ in closed:  # each takes the lowest free number
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.__stdout__ = _text(sys.stdout, 1, absent=1 in closed)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(sys.stderr, 2, absent=2 in closed)  # type: ignore[misc]


def lost(stream: TextIO) -> str:
    """Why something could not be written to a stream that `prepare` made; empty if all was."""
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.lost.strerror or str(raw.lost) if isinstance(raw, _Output) and raw.lost is not None else ""


def _open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _text(original: TextIO | None, descriptor: int, *, absent: bool) -> io.TextIOWrapper:
    """A text file like the one that Python made, which takes any name of a file, too."""
    encoding = original.encoding if original is not None else "utf-8"
    unicode = encoding.lower().replace("-", "").startswith("utf")
    raw = _Output(descriptor, absent=absent)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        original.flush()  # type: ignore[union-attr]
    return io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]
        encoding=encoding,
        errors="surrogateescape" if unicode else "backslashreplace",
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=bool(getattr(original, "write_through", False)),
    )
