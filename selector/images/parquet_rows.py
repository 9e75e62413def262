"""Images in the rows of a Parquet file, read forwards in small batches.

A row group is read from its begin up to the wanted row; rows are asked for in order, so that it happens once. A whole row group
in memory would be gigabytes for some files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selector.images.blobs import as_file, opened
from selector.images.locations import is_url
from selector.images.places import ContentError, Place, Stamp, check_size

_BATCH_ROWS = 32
_BUFFER_BYTES = 1 << 20


class ParquetForm:
    """Rows of a Parquet file. offset: the row's number in the file; size is not used. The form's argument is the image column."""

    def __init__(self, container: str, column: str) -> None:
        self._container, self._column = container, column
        self._stamp = _stamp(container)
        self._held = ExitStack()
        with damage_told():
            self._file = self._held.enter_context(opened_parquet(container))
        groups = range(self._file.num_row_groups)
        self._ends = np.cumsum([self._file.metadata.row_group(group).num_rows for group in groups])
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group, self._start, self._batch = -1, 0, _NOTHING

    def read(self, place: Place) -> bytes:
        """See Form."""
        if not 0 <= place.offset < (int(self._ends[-1]) if len(self._ends) else 0):
            raise ContentError("the Parquet file has no such row any more")
        with damage_told():
            value = self._value(place.offset)
        content = value.get("bytes") if isinstance(value, pa.StructScalar) else value
        if content is not None and content.is_valid:
            check_size(len(content.as_buffer()))
            return bytes(content.as_buffer())
        path = path_of(value)
        if not path:
            raise ContentError("a null image")
        return self._beside(path)

    def _value(self, row: int) -> pa.Scalar:
        group = int(np.searchsorted(self._ends, row, side="right"))
        if group != self._group or row < self._start:
            self._group, self._batch = group, _NOTHING
            self._start = int(self._ends[group - 1]) if group else 0
            self._batches = self._file.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=[self._column], use_threads=False
            )
        while row >= self._start + len(self._batch):
            self._start += len(self._batch)
            self._batch = _NOTHING  # given back before the next one is read
            self._batch = next(self._batches)
        return self._batch[0][row - self._start]

    def _beside(self, path: str) -> bytes:
        """A file that a row names by its path from the Parquet file's folder."""
        if is_url(self._container):
            raise ContentError("a path and no bytes, which is read on disk alone")
        with (Path(self._container).parent / path).open("rb") as file:
            check_size(os.fstat(file.fileno()).st_size)
            return file.read()

    def stamp(self, place: Place) -> Stamp:  # noqa: ARG002  # the rows of a file have one
        """See Form; the file's own, since a row has no size before it is read."""
        return self._stamp

    def close(self) -> None:
        """See Form."""
        self._batches = iter(())
        self._held.close()


_NOTHING: pa.RecordBatch = pa.record_batch({"nothing": pa.array([], pa.null())})


@contextmanager
def opened_parquet(container: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file at a path or URL, of which no more is read than is asked for; raises OSError or ArrowException."""
    with as_file(container) as file:
        yield pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)


@contextmanager
def damage_told() -> Iterator[None]:
    """Errors about a file's content become ContentError; what its system says about it stays OSError."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise ContentError(f"the Parquet file is damaged: {error}") from None
    except (pa.ArrowException, StopIteration) as error:
        raise ContentError(f"the Parquet file is damaged: {error}") from None


def path_of(value: pa.Scalar) -> str:
    """The path of an image that is a struct, "" if it has none."""
    if not isinstance(value, pa.StructScalar) or not value.is_valid or "path" not in value.type.names:
        return ""
    return str(value.get("path").as_py() or "")


def _stamp(container: str) -> Stamp:
    blob = opened(container)
    try:
        return blob.stamp()
    finally:
        blob.close()
