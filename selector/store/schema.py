"""The columns of the store's two tables, and rows of them as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.images.listing import joined
from selector.records import Box

STATUSES = ("ok", "filtered", "failed")

_ID_LENGTH = 16
_WINDOW_BOX = ("window_top", "window_left", "window_height", "window_width")
_CANVAS_BOX = tuple(name.replace("window_", "window_canvas_") for name in _WINDOW_BOX)
_PER_WINDOW = (*_WINDOW_BOX, *_CANVAS_BOX, "typicality", "standard_error")


def _schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


_LABELLED = _schema(
    image_id=pa.string(),
    source=pa.string(),
    class_id=pa.int32(),
    status=pa.string(),
    reason=pa.string(),
    size=pa.int64(),
    mtime_ns=pa.int64(),
    draws=pa.int32(),
    losses_prompt=pa.list_(pa.float32()),
    losses_reference=pa.list_(pa.float32()),
    height=pa.int32(),
    width=pa.int32(),
    **{name: pa.list_(pa.int32()) for name in (*_WINDOW_BOX, *_CANVAS_BOX)},
    typicality=pa.list_(pa.float32()),
    standard_error=pa.list_(pa.float32()),
)
IMAGE_SCHEMA: pa.Schema = pa.schema(
    [
        *_LABELLED,
        pa.field("assigned_margin", pa.float32()),
        pa.field("assigned_standard_error", pa.float32()),
        pa.field("assigned_unet_rows", pa.int32()),
    ]
)
"""One row per file of the data that could be read, with its size and mtime_ns then. Window columns are lists of one entry per
chosen window, empty unless status is ok; window_* are pixels of the original after EXIF rotation, window_canvas_* those of the
canvas. losses are lists of one entry per draw. assigned_*: of an image whose class the model chose by how much the second
class's loss is greater, the standard error of that, and what it took; null where a label says the class, and -1 is the class_id
of a file that got none."""

PATCH_SCHEMA: pa.Schema = _schema(
    image_id=pa.string(),
    source=pa.string(),
    class_id=pa.int32(),
    patch_rank=pa.int32(),
    top=pa.int32(),
    left=pa.int32(),
    height=pa.int32(),
    width=pa.int32(),
    typicality=pa.float32(),
    standard_error=pa.float32(),
    draws=pa.int32(),
    status=pa.string(),
    reason=pa.string(),
)
"""One row per patch, its box in pixels of the original. A patch whose feature failed keeps its row, with zeros for it."""

_PLACED = _schema(shard=pa.int32(), row=pa.int32())
_PER_IMAGE = "image_id source class_id status reason size mtime_ns draws height width"
_ASSIGNED = "assigned_margin assigned_standard_error assigned_unet_rows"

IMAGE_SUMMARY: pa.Schema = pa.schema(
    [*(IMAGE_SCHEMA.field(name) for name in f"{_PER_IMAGE} {_ASSIGNED}".split()), *_PLACED]
)
PATCH_SUMMARY: pa.Schema = pa.schema([*PATCH_SCHEMA, *_PLACED, *_schema(by_source=pa.int32())])
"""The columns of a store's summaries: rows with the shard and the row in it where they were committed. by_source: the numbers of
all rows in the order of their sources, and of one source in the order in which they were committed."""


@dataclass(frozen=True)
class ScoredImage:
    """An image with windows, as stage II needs it; the tuples have one entry per window, best first."""

    image_id: str
    source: str
    class_id: int
    draws: int
    boxes: tuple[Box, ...]
    typicality: tuple[float, ...]
    standard_error: tuple[float, ...]


def conforming(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The schema's columns in its order and types; raises ValueError.

    Columns that may be null came later than the others: stores from before are without them, and have nothing to say there.
    """
    if rows.schema.equals(schema):  # what we wrote ourselves; a cast would cost as much as reading a shard
        return rows.replace_schema_metadata(None)
    missing = [field for field in schema if field.name not in rows.column_names]
    if any(not field.nullable for field in missing):
        raise ValueError(f"rows lack {[field.name for field in missing if not field.nullable]}")
    for field in missing:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(schema.names).replace_schema_metadata(None).cast(schema)


def check_image_rows(rows: pa.Table) -> None:
    """Raises ValueError for an unknown status, uneven window columns, or windows of a row that is not ok."""
    windows = [rows[name].combine_chunks().value_lengths().to_pylist() for name in _PER_WINDOW]
    for i, status in enumerate(rows["status"].to_pylist()):
        counts = {lengths[i] for lengths in windows}
        if status not in STATUSES or len(counts) != 1 or (status != "ok" and counts != {0}):
            raise ValueError(f"row {i}: status {status!r} with {sorted(counts)} entries per window column")


def scored_image(row: Mapping[str, Any]) -> ScoredImage | None:
    """A row of IMAGE_SCHEMA as a value; None if it has no windows."""
    boxes = tuple(Box(*edges) for edges in zip(*(row[name] for name in _WINDOW_BOX), strict=True))
    if not boxes:
        return None
    return ScoredImage(
        row["image_id"],
        row["source"],
        row["class_id"],
        row["draws"],
        boxes,
        tuple(row["typicality"]),
        tuple(row["standard_error"]),
    )


def ids_of(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Image ids as <U16; made without an object for each where all have their 16 characters."""
    whole = joined(column)
    if len(whole) and pc.all(pc.equal(pc.binary_length(whole), _ID_LENGTH)).as_py():
        return ascii_of(whole).astype("<u4").view(f"<U{_ID_LENGTH}").ravel()
    return np.asarray(whole.to_pylist(), "<U16")


def ascii_of(ids: pa.StringArray) -> NDArray[np.uint8]:
    """uint8 [n, 16], the characters of ids that all have 16."""
    fixed = ids.cast(pa.binary()).cast(pa.binary(_ID_LENGTH))
    whole = np.frombuffer(fixed.buffers()[1], np.uint8, _ID_LENGTH * len(fixed), _ID_LENGTH * fixed.offset)
    return whole.reshape(-1, _ID_LENGTH)


class ArrowTexts:
    """`Texts` that are some of an Arrow array of strings, in any order."""

    def __init__(self, array: pa.StringArray, rows: NDArray[np.int64]) -> None:
        self._array, self._rows = array, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any, /) -> Any:
        if isinstance(rows, int | np.integer):
            return self._array[int(self._rows[rows])].as_py()
        return ArrowTexts(self._array, self._rows[rows])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrowTexts, (self._array.take(pa.array(self._rows)), np.arange(len(self)))  # only what is named travels

    def tolist(self) -> list[str]:
        """All texts."""
        return list(self._array.take(pa.array(self._rows)).to_pylist())
