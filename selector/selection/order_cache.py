"""Orders of classes kept on disk, so that a further IPC costs a look-up.

Owns the key of an order, its file, and how many files the folder may hold.

A key is a hash of everything that an order depends on: the columns that strategies see, in their order of rows; the
strategy's name and seed; the source code of this package and the versions of the libraries below it. Features come
into it by their bytes or, if a store knows what it committed, by the hashes it committed them with. A file begins with
the hash of the rest, and the rest with its key: one that is cut off, altered or renamed is as good as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selector.records import ClassOrder, Features, PatchTable

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "hdbscan")
_LEAST_KEPT = 1_000
_SELECTIONS_KEPT = 4
_DIGEST = 32
_COLUMNS = (("permutation", "<i4"), ("cluster_label", "<i4"), ("membership", "<f4"))


@runtime_checkable
class Identified(Protocol):
    """Features that know what they are without being read."""

    def identity(self) -> bytes | None:
        """Bytes that are equal only for the same features in the same order; None if that is not known."""


class OrderCache:
    """Orders by key, a file each. Several processes may use one folder; whatever is lost is made again.

    problem: why orders could not be kept, "" as long as they could.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem = ""

    def read(self, key: str, count: int) -> ClassOrder | None:
        """The order of this key over `count` patches; None if it is not there, whole and the right one."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:  # absent, removed by another process, or not ours to read: it is made again
            return None
        made = _unpacked(content, key, count)
        if made is not None:
            with suppress(OSError):  # only marks the order as in use
                os.utime(path)
        return made

    def write(self, key: str, made: ClassOrder) -> None:
        """Keeps an order, whole or not at all; where that is impossible, `problem` says why."""
        partial = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.folder, prefix="order-", suffix=".partial", delete=False
            ) as partial:
                partial.write(_packed(made, key))
            Path(partial.name).replace(self._path(key))
        except OSError as error:
            self.problem = f"{self.folder}: {error.strerror or error}"
            if partial is not None:
                with suppress(OSError):  # the disk is full or read-only; the first error says so
                    Path(partial.name).unlink(missing_ok=True)

    def prune(self, classes: int) -> None:
        """Of orders, and of trees, keeps those used last: of four selections of so many classes, at least 1,000 files."""
        most = max(_LEAST_KEPT, _SELECTIONS_KEPT * classes)
        for kind, end in (("order", "bin"), ("tree", "npy")):
            found = []
            for path in (*self.folder.glob(f"{kind}-*.{end}"), *self.folder.glob(f"{kind}-*.partial")):
                with suppress(FileNotFoundError):  # removed by another process
                    found.append((path.stat().st_mtime_ns, path))
            for _, path in sorted(found)[:-most]:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"order-{key}.bin"


def order_key(order: str, seed: int, patches: PatchTable) -> str:
    """32 hex digits that stand for one class's order by the named strategy. Reads features only if it must."""
    made = hashlib.blake2b(_code(), digest_size=16)
    made.update(repr((order, seed, len(patches))).encode())
    for column, kind in ((patches.image_id, "<U16"), (patches.patch_rank, "<i4"), (patches.typicality, "<f4")):
        made.update(np.ascontiguousarray(column, dtype=kind).tobytes())
    made.update(_identity(patches.features))
    return made.hexdigest()


def _identity(features: Features) -> bytes:
    known = features.identity() if isinstance(features, Identified) else None
    if known is not None:
        return b"committed" + known
    values: NDArray[np.float16] = np.ascontiguousarray(features, dtype="<f2")
    return b"bytes" + repr(values.shape).encode() + hashlib.blake2b(values.tobytes()).digest()


@lru_cache(maxsize=1)
def _code() -> bytes:
    """A hash of what makes orders: the sources of this package, and the versions of the libraries that they call."""
    made = hashlib.blake2b(repr([(name, version(name)) for name in _LIBRARIES]).encode())
    sources = {entry.name: entry.read_bytes() for entry in files(__package__).iterdir() if entry.name.endswith(".py")}
    made.update(repr(sorted(sources.items())).encode())
    return made.digest()


def _packed(made: ClassOrder, key: str) -> bytes:
    stated = {
        "key": key,
        "count": len(made.permutation),
        "clusters": made.clusters,
        "unclustered": made.unclustered,
        "method": made.method,
        "note": made.note,
    }
    columns = [getattr(made, name).astype(kind).tobytes() for name, kind in _COLUMNS]
    content = b"\n".join([json.dumps(stated).encode(), b"".join(columns)])
    return hashlib.blake2b(content, digest_size=_DIGEST).digest() + content


def _unpacked(packed: bytes, key: str, count: int) -> ClassOrder | None:
    digest, content = packed[:_DIGEST], packed[_DIGEST:]
    if hashlib.blake2b(content, digest_size=_DIGEST).digest() != digest:
        return None
    header, _, values = content.partition(b"\n")
    stated = json.loads(header)
    if stated["key"] != key or stated["count"] != count:
        return None
    permutation, label, membership = (
        np.frombuffer(values, kind, count, 4 * count * place) for place, (_, kind) in enumerate(_COLUMNS)
    )
    return ClassOrder(
        permutation=permutation.astype(np.int64),
        cluster_label=label.astype(np.int32),
        membership=membership.astype(np.float32),
        clusters=stated["clusters"],
        unclustered=stated["unclustered"],
        method=stated["method"],
        note=stated["note"],
    )
