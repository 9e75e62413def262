"""What a file is that holds a data set: a tar, a zip archive, or something that can't be read in place."""

from __future__ import annotations

from contextlib import closing

from selector.errors import UsageError
from selector.images.blobs import opened
from selector.images.locations import without_secrets

_STARTS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # an empty one
    (b"PK\x07\x08", "zip"),  # one of several volumes
    (b"PAR1", "parquet"),
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
_UNPACKERS = {"gz": "gunzip", "bz2": "bunzip2", "xz": "unxz", "zst": "zstd -d"}
_SUFFIXES = {"tgz": "gz", "tbz": "bz2", "tbz2": "bz2", "txz": "xz", "tzst": "zst"}


def kind_of(container: str) -> str:
    """The kind of a file by its first bytes: "tar", "zip" or "parquet".

    Raises OSError, and UsageError with a remedy for what is compressed as a whole.
    """
    with closing(opened(container)) as blob:
        head = blob.read(0, 16)
    kind = next((kind for start, kind in _STARTS if head.startswith(start)), "tar")
    if kind in _UNPACKERS or kind in ("7z", "rar"):
        raise UsageError(f"{without_secrets(container)} {compressed(without_secrets(container), kind)}")
    return kind


def compressed(name: str, kind: str = "") -> str:
    """Why a compressed archive of this name is not read and what to do, as the rest of a sentence; "" if it is none."""
    suffix = name.rpartition(".")[2].lower()
    kind = kind or _SUFFIXES.get(suffix, suffix)
    if kind in _UNPACKERS:
        return (
            f"is compressed as a whole, so no image in it can be read by its place: make it a plain tar with {_UNPACKERS[kind]} "
            f"{name.rpartition('/')[2]}, or unpack it and name the folder"
        )
    if kind in ("7z", "rar"):
        return f"is a {kind} archive, which is not read in place: unpack it and name the folder, or pack it as a zip or a tar"
    return ""
