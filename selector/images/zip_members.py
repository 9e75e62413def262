"""The members of a zip archive, read in place by the offset of their local header (APPNOTE.TXT of PKWARE, 4.3.7).

A member never gives more bytes than the archive says it has, and its checksum is compared.
"""

from __future__ import annotations

import struct
import zlib

from selector.images.blobs import Blob, opened
from selector.images.places import ContentError, Place, Stamp, check_size

STORED, DEFLATED = 0, 8
_HEADER = struct.Struct("<4s5HIIIHH")
_ENCRYPTED, _DESCRIBED_BEHIND = 1, 8  # bits of the flags
_AHEAD_BYTES = 1024  # header, name and extra fields are read along with the content
_PIECE_BYTES = 1 << 18


class ZipForm:
    """Members of a zip archive. offset: of the local header. size: of the unpacked bytes."""

    def __init__(self, container: str) -> None:
        self._blob = opened(container)

    def read(self, place: Place) -> bytes:
        """See Form."""
        check_size(place.size)
        return read_member(self._blob, place.offset, place.size)

    def stamp(self, place: Place) -> Stamp:
        """See Form."""
        return Stamp(place.size, self._blob.stamp().mtime_ns)

    def close(self) -> None:
        """See Form."""
        self._blob.close()


def read_member(blob: Blob, offset: int, size: int, count: int = -1) -> bytes:
    """The unpacked bytes of a member, or the first `count` of them; size: how many it has by the archive's directory.

    Raises OSError, and ContentError for a member that is damaged or packed in a way that is not read.
    """
    ahead = _Ahead(blob, offset, size)
    head = ahead.read(offset, _HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(b"PK\x03\x04"):
        raise ContentError("no member of the zip archive is where the archive says")
    _, _, flags, method, _, _, checksum, packed, _, name_bytes, extra_bytes = _HEADER.unpack(head)
    problem = unreadable(flags, method)
    if problem:
        raise ContentError(problem)
    start, wanted = offset + _HEADER.size + name_bytes + extra_bytes, size if count < 0 else min(size, count)
    if method == STORED:
        content, end = ahead.read(start, wanted), start + size
        if len(content) < wanted:
            raise ContentError(f"the archive ends {wanted - len(content)} bytes too early")
    else:
        content, end = _inflated(ahead, start, size, wanted, 0 if flags & _DESCRIBED_BEHIND else packed)
    if wanted < size:
        return content[:wanted]
    if flags & _DESCRIBED_BEHIND:
        behind = ahead.read(end, 8)
        (checksum,) = struct.unpack("<I", behind.removeprefix(b"PK\x07\x08")[:4].ljust(4, b"\0"))
    if zlib.crc32(content) != checksum:
        raise ContentError("damaged: its checksum is not that of the zip archive")
    return content


def unreadable(flags: int, method: int) -> str:
    """Why a member with these flags, packed by this method, is not read; "" if it is."""
    if flags & _ENCRYPTED:
        return "encrypted in the zip archive: unpack it with the password and name the folder"
    if method not in (STORED, DEFLATED):
        return f"packed by a method of zip that is not read (number {method}): pack it stored or deflated"
    return ""


class _Ahead:
    """A blob of which the bytes around a member's begin are read at once: one request where the blob is far away."""

    def __init__(self, blob: Blob, offset: int, size: int) -> None:
        self._blob, self._offset = blob, offset
        self._bytes = blob.read(offset, _HEADER.size + _AHEAD_BYTES + min(size, _PIECE_BYTES))

    def read(self, offset: int, size: int) -> bytes:
        start = offset - self._offset
        if start + size <= len(self._bytes):
            return self._bytes[start : start + size]
        return self._blob.read(offset, size)


def _inflated(ahead: _Ahead, start: int, size: int, wanted: int, packed: int) -> tuple[bytes, int]:
    """The first bytes of a deflated member, at least `wanted` and at most `size`, and the offset of what follows it.

    packed: how many bytes it takes in the archive, 0 if that is unknown.
    """
    engine, at, made = zlib.decompressobj(-zlib.MAX_WBITS), start, bytearray()
    piece = min(packed or _PIECE_BYTES, _PIECE_BYTES)
    while not engine.eof and (wanted == size or len(made) < wanted):
        given = engine.unconsumed_tail
        if not given:
            given = ahead.read(at, piece)
            at += len(given)
        if not given:
            raise ContentError("the archive ends within it")
        try:
            made += engine.decompress(given, size + 1 - len(made))
        except zlib.error as error:
            raise ContentError(f"damaged: it can't be inflated ({error})") from None
        if len(made) > size:
            raise ContentError(f"it holds more than the {size} bytes that the zip archive says")
    if engine.eof and len(made) < size:
        raise ContentError(f"it holds {len(made)} bytes where the zip archive says {size}")
    return bytes(made), at - len(engine.unused_data)
