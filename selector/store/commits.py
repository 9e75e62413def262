"""One commit: a Parquet file of rows beside a .npy of vectors, one vector per row, whole or not there at all.

Owns the writing order and the checks on reading. Several processes may write at once. Vectors lie under the name of their
content (BLAKE2b), and the Parquet file, which is the commit, names them: so rows never stand beside another writer's vectors,
and equal writers write equal files. The commit is made by a temporary file, fsync and link(2), which lets one writer win and
tells the others so; it is never replaced. It carries shape, type and CRC-32 of its vectors besides. Leftovers of a killed writer
are never read; what is older than a day goes with the next scoring run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selector.errors import FileError, StoreError
from selector.folders.files import file_time, told

_KEY = b"selector.vectors"
_LEFTOVER = re.compile(r"(?P<stem>\d{5,})\.[0-9a-f]{32}\.npy|.*\.[0-9a-f]{32}\.tmp")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_commit(folder: Path, stem: str, rows: pa.Table, vectors: NDArray[np.float16]) -> bool:
    """Makes `stem` a commit of the folder; False if another writer's is there, which is kept. Raises FileError if it can't."""
    if len(rows) != len(vectors):
        raise ValueError(f"{stem}: {len(rows)} rows and {len(vectors)} vectors")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{stem}: vectors must be finite; a row that failed has zeros")
    contiguous = np.ascontiguousarray(vectors)
    digest = hashlib.blake2b(_bytes(contiguous), digest_size=16).hexdigest()
    stamp = {"shape": list(vectors.shape), "dtype": vectors.dtype.str, "crc32": _crc32(contiguous), "blake2b": digest}
    own = folder / f"{stem}.{digest}.npy"
    stamp["file"] = own.name
    table = rows.replace_schema_metadata({_KEY: json.dumps(stamp).encode()})
    committed = folder / f"{stem}.parquet"
    try:
        if committed.exists():
            return False
        write_whole(own, lambda file: np.save(file, contiguous, allow_pickle=False))
        won = write_first(committed, lambda file: pq.write_table(table, file, compression="zstd"))
        if not won and not _named(folder, stem, own.name):  # nobody will name these vectors any more
            own.unlink(missing_ok=True)
        return won
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder / stem}: its files vanished while being written: was the store deleted meanwhile?"
        ) from error
    except OSError as error:
        raise FileError(told(error, folder / stem, "written")) from error


def adopt_commit(folder: Path, stem: str, source: Path) -> str:
    """Makes a commit of another folder one of this folder: "linked", or "copied" where files can't be linked.

    "" if the name is taken, which is kept. Raises StoreError for a damaged commit, FileError if it can't be written.
    """
    try:
        stamp = json.loads(pq.read_metadata(source / f"{stem}.parquet").metadata[_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _damaged(source / stem, str(error)) from error
    vectors = folder / stamp.get("file", f"{stem}.npy")
    try:
        if (folder / f"{stem}.parquet").exists() or (not _put(vectors, source) and "file" not in stamp):
            return ""
        how = _put(folder / f"{stem}.parquet", source)
        if how and not vectors.exists():  # swept in between: they are as old as they were
            _put(vectors, source)
        _sync_folder(folder)
        return how
    except OSError as error:
        raise FileError(told(error, folder / stem, "written")) from error


def _put(path: Path, source: Path) -> str:
    """Gives the path the content of the file of its name in `source`, where there is none: "linked", "copied", or ""."""
    original = (source / path.name).resolve()
    try:
        path.hardlink_to(original)
        return "linked"
    except FileExistsError:
        return ""
    except OSError as error:
        if error.errno not in (*_NO_LINKS, errno.EXDEV):
            raise
    with original.open("rb") as file:
        return "copied" if write_first(path, lambda copy: shutil.copyfileobj(file, copy)) else ""


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
        raise StoreError(f"{folder / stem} was deleted and committed again since it was opened: start again")
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
        name = stamp.get("file", f"{stem}.npy")  # as stores from before have it
        vectors: NDArray[np.float16] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
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


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Gives the path a content in one step: temp → fsync → rename → fsync of the folder. Raises OSError."""
    with _written(path, write) as temporary:
        temporary.replace(path)
    _sync_folder(path.parent)


def write_first(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """The same by link(2) instead of rename, so that of several writers one is first; False for the others. Raises OSError."""
    with _written(path, write) as temporary:
        try:
            path.hardlink_to(temporary)
            first = True
        except FileExistsError:  # on NFS also if it was made and the reply was lost
            first = temporary.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            first = not path.exists()  # whoever comes between replaces rows by the same rows
            temporary.replace(path)
    _sync_folder(path.parent)
    return first


@contextmanager
def _written(path: Path, write: Callable[[BinaryIO], object]) -> Iterator[Path]:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, older_than_s: float = 86_400) -> None:
    """Removes what killed writers left there more than a day ago: temporary files, and vectors that no commit names."""
    with suppress(OSError):
        entries = [(entry.name, entry.stat().st_mtime) for entry in os.scandir(folder)]
        now = file_time(folder)
        for name, seen in entries:
            match = _LEFTOVER.fullmatch(name)
            if match and now - seen > older_than_s and not _named(folder, match["stem"], name):
                (folder / name).unlink(missing_ok=True)


def _named(folder: Path, stem: str | None, name: str) -> bool:
    """Whether a commit names these vectors; also if that can't be told."""
    if name.endswith(".tmp") or stem is None or not (folder / f"{stem}.parquet").exists():
        return False
    try:
        return bool(json.loads(pq.read_metadata(folder / f"{stem}.parquet").metadata[_KEY])["file"] == name)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return True


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


def write_json(path: Path, value: Any, write: Callable[..., object] = write_whole) -> None:
    """Writes a JSON file whole or not at all, by `write_whole` or `write_first`; raises FileError."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        write(path, lambda file: file.write(text.encode()))
    except OSError as error:
        raise FileError(told(error, path, "written")) from error


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
