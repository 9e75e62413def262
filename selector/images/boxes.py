"""What the boxes of an AVIF or HEIC say before a pixel is decoded: sizes, sample depth, colours, and where its data end.

Boxes and `iloc` are those of ISO/IEC 14496-12, the properties those of 23008-12. Decoders look less closely. Of a HEIC of tiles
that was cut short, libheif gives the tiles that are there, and nobody hears of the others; and it allocates what the coded
size asks for, also where the picture is cropped to a small one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_PLAIN_PRIMARIES = (1, 2)  # BT.709, which sRGB has, and unspecified
_PLAIN_TRANSFERS = (1, 2, 6, 13)  # BT.709, unspecified, BT.601, sRGB


@dataclass(frozen=True)
class Container:
    """sizes: width and height of every coded picture. end: how many bytes the file needs for all its items' data.

    bits: the deepest samples'. srgb: whether the colours are those of sRGB, as far as the boxes say.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    end: int = 0
    bits: int = 8
    srgb: bool = True


def read_container(content: bytes) -> Container:
    """Reads the boxes of an AVIF's or HEIC's bytes; raises ValueError with a plain reason if they contradict one another."""
    sizes, end, bits, srgb = [], 0, 8, True
    for kind, value in _described(content):
        if kind == b"iloc":
            end = max(end, _end_of_items(value))
        elif kind == b"ispe":
            sizes.append((_number(value, 4, 4), _number(value, 8, 4)))
        elif kind == b"av1C":
            bits = max(bits, _av1_bits(_number(value, 2, 1)))
        elif kind == b"hvcC":
            bits = max(bits, 8 + (_number(value, 17, 1) & 7))
        elif kind == b"colr" and bytes(value[:4]) == b"nclx":
            srgb &= _number(value, 4, 2) in _PLAIN_PRIMARIES and _number(value, 6, 2) in _PLAIN_TRANSFERS
    return Container(tuple(sizes), end, bits, srgb)


def _described(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The boxes that describe still pictures: where their data lie, and their properties."""
    for kind, meta in _boxes(memoryview(content)):
        for inner, body in _boxes(meta[4:]) if kind == b"meta" else ():
            if inner == b"iloc":
                yield inner, body
            for holder, properties in _boxes(body) if inner == b"iprp" else ():
                yield from _boxes(properties) if holder == b"ipco" else ()


def _av1_bits(flags: int) -> int:
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _boxes(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each box; a last one that is cut short has the content that is there."""
    at = 0
    while at + 8 <= len(body):
        size, header = _number(body, at, 4), 8
        if size == 1:
            size, header = _number(body, at + 8, 8), 16
        elif size == 0:
            size = len(body) - at
        if size < header:
            raise ValueError(f"a box of {size} bytes")
        yield bytes(body[at + 4 : at + 8]), body[at + header : at + size]
        at += size


def _end_of_items(body: memoryview) -> int:
    """Where the last byte of item data in the file lies, by the iloc box."""
    version, at = _number(body, 0, 1), 6
    sizes = _number(body, 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    count = _number(body, at, wide)
    at, end = at + wide, 0
    for _ in range(count):
        at += wide
        in_file = True
        if version:
            in_file, at = _number(body, at, 2) & 15 == 0, at + 2
        in_file, at = in_file and _number(body, at, 2) == 0, at + 2
        base, extents = _number(body, at, base_size), _number(body, at + base_size, 2)
        at += base_size + 2
        fields = (index_size if version else 0, offset_size, length_size)
        if not sum(fields):
            continue
        for _ in range(extents):
            edges = [at, *(at := at + size for size in fields)]
            _, offset, length = (_number(body, begin, stop - begin) for begin, stop in pairwise(edges))
            end = max(end, base + offset + length if in_file else 0)
    return end


def _number(body: memoryview, at: int, size: int) -> int:
    if at + size > len(body):
        raise ValueError("a box ends too early")
    return int.from_bytes(body[at : at + size], "big")
