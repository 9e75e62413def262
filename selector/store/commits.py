"""One commit: a Parquet file of rows beside a .npy of vectors, one vector per row, whole or not there at all.

Owns the writing order and the checks on reading. A commit writes temp → fsync → rename → fsync of the folder, vectors
first; the Parquet file is the commit. Before an existing commit is replaced its Parquet file goes first, so there is no
moment at which rows stand beside another commit's vectors; the Parquet file carries shape, type, CRC-32 and BLAKE2b of
its vectors besides. Leftovers of a killed writer end in .tmp: they are never read, and the next commit of the same name
removes them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selector.errors import FileError, StoreError
from selector.folders.files import told

_KEY = b"selector.vectors"
_ANY_ID = 32 * "[0-9a-f]"


def write_commit(folder: Path, stem: str, rows: pa.Table, vectors: NDArray[np.float16]) -> None:
    """Makes `stem` a commit of the folder, in place of an earlier one; raises FileError if it can't."""
    if len(rows) != len(vectors):
        raise ValueError(f"{stem}: {len(rows)} rows and {len(vectors)} vectors")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{stem}: vectors must be finite; a row that failed has zeros")
    contiguous = np.ascontiguousarray(vectors)
    stamp = {"shape": list(vectors.shape), "dtype": vectors.dtype.str, "crc32": _crc32(contiguous)}
    stamp["blake2b"] = hashlib.blake2b(_bytes(contiguous), digest_size=16).hexdigest()
    table = rows.replace_schema_metadata({_KEY: json.dumps(stamp).encode()})
    try:
        for leftover in folder.glob(f"{stem}.*.{_ANY_ID}.tmp"):
            leftover.unlink(missing_ok=True)
        committed = folder / f"{stem}.parquet"
        if committed.exists():
            committed.unlink()
            _sync_folder(folder)
        write_whole(folder / f"{stem}.npy", lambda file: np.save(file, contiguous, allow_pickle=False))
        write_whole(committed, lambda file: pq.write_table(table, file, compression="zstd"))
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder / stem}: its files vanished while being written: does another run use this store?"
        ) from error
    except OSError as error:
        raise FileError(told(error, folder / stem, "written")) from error


def read_commit(folder: Path, stem: str, *, verify: bool = False) -> tuple[pa.Table, NDArray[np.float16]]:
    """Rows, with their stamp, and memory-mapped vectors of a commit; `verify` reads all vectors and compares their CRC-32.

    Raises StoreError if either file is damaged or they do not belong together.
    """
    rows = read_rows(folder, stem)
    return rows, _vectors(folder, stem, rows.schema.metadata, len(rows), verify)


def read_vectors(folder: Path, stem: str, digest: str, *, verify: bool = False) -> NDArray[np.float16]:
    """The memory-mapped vectors of a commit, checked as by `read_commit`.

    digest: what `committed_vectors` said when the rows were read. Raises StoreError if the commit has been replaced since.
    """
    path = folder / f"{stem}.parquet"
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(folder / stem, str(error)) from error
    if _digest(footer.metadata) != digest:
        raise StoreError(f"{folder / stem} was committed again since it was opened: does another run use this store?")
    return _vectors(folder, stem, footer.metadata, footer.num_rows, verify)


def committed_vectors(folder: Path, stem: str, rows: pa.Table) -> tuple[int, str]:
    """How many numbers a vector of this commit has, and the BLAKE2b of them all, "" if it was not noted then.

    rows: as `read_rows` gives them; the vectors are not looked at. Raises StoreError if the rows say nothing of vectors.
    """
    try:
        count, *shape = json.loads((rows.schema.metadata or {})[_KEY])["shape"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / stem, f"its rows say nothing of vectors ({error})") from error
    if count != len(rows):
        raise _damaged(folder / stem, f"its {len(rows)} rows were committed with {count} vectors")
    return math.prod(shape), _digest(rows.schema.metadata)


def _digest(metadata: Mapping[bytes, bytes] | None) -> str:
    try:
        return str(json.loads((metadata or {})[_KEY]).get("blake2b", ""))
    except (ValueError, KeyError):
        return ""


def _vectors(
    folder: Path, stem: str, metadata: Mapping[bytes, bytes] | None, count: int, verify: bool
) -> NDArray[np.float16]:
    try:
        stamp = json.loads((metadata or {})[_KEY])
        vectors: NDArray[np.float16] = np.load(folder / f"{stem}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder / stem, str(error)) from error
    found: dict[str, Any] = {"shape": list(vectors.shape), "dtype": vectors.dtype.str}
    if verify:
        found["crc32"] = _crc32(vectors)
    if found != {name: stamp.get(name) for name in found} or len(vectors) != count:
        raise _damaged(folder / stem, f"its vectors are {found}, its {count} rows were committed with {stamp}")
    return vectors


def read_rows(folder: Path, stem: str, columns: list[str] | None = None) -> pa.Table:
    """The rows of a commit alone, with their stamp; raises StoreError."""
    path = folder / f"{stem}.parquet"
    try:
        # One thread and no data set around it: half the time of pq.read_table for a shard of 256 rows.
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(folder / stem, str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a store; raises StoreError if it is absent or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path.parent} is not a scored store: it has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged: expected an object, got {type(content).__name__}")
    return content


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all; raises FileError."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        write_whole(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise FileError(told(error, path, "written")) from error


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Gives the path a content in one step: temp → fsync → rename → fsync of the folder. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere folders can't be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _crc32(vectors: NDArray[np.float16]) -> int:
    return zlib.crc32(_bytes(vectors))


def _bytes(vectors: NDArray[np.float16]) -> memoryview:
    return np.ascontiguousarray(vectors).reshape(-1).view(np.uint8).data


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is damaged: {why}. Delete {path.name}.parquet, and a rerun makes this shard again")
