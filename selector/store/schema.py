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
from selector.records import Box, Features, PatchTable

STATUSES = ("ok", "filtered", "failed")

_ID_LENGTH = 16
_WINDOW_BOX = ("window_top", "window_left", "window_height", "window_width")
_CANVAS_BOX = tuple(name.replace("window_", "window_canvas_") for name in _WINDOW_BOX)
_PER_WINDOW = (*_WINDOW_BOX, *_CANVAS_BOX, "typicality", "standard_error")


def _schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


IMAGE_SCHEMA: pa.Schema = _schema(
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
"""One row per file of the data that could be read, with its size and mtime_ns then. Window columns are lists of one entry per
chosen window, empty unless status is ok; window_* are pixels of the original after EXIF rotation, window_canvas_* those of the
canvas. losses are lists of one entry per draw."""

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

_PLACED = {"shard": pa.int32(), "row": pa.int32()}
_PER_IMAGE = ["image_id", "source", "class_id", "status", "reason", "size", "mtime_ns", "draws", "height", "width"]

IMAGE_SUMMARY: pa.Schema = _schema(**{name: IMAGE_SCHEMA.field(name).type for name in _PER_IMAGE}, **_PLACED)
PATCH_SUMMARY: pa.Schema = _schema(**{field.name: field.type for field in PATCH_SCHEMA}, **_PLACED)
"""The columns of a store's summaries: rows with the shard and the row in it where they were committed."""


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
    """The schema's columns in its order and types; raises ValueError."""
    if rows.schema.equals(schema):  # what we wrote ourselves; a cast would cost as much as reading a shard
        return rows.replace_schema_metadata(None)
    missing = [name for name in schema.names if name not in rows.column_names]
    if missing:
        raise ValueError(f"rows lack {missing}")
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


def patch_table(rows: pa.Table, features: Features) -> PatchTable:
    """Rows of PATCH_SCHEMA that are ok, and their features, as they come."""
    return PatchTable(
        class_id=_column(rows, "class_id", np.int32),
        image_id=ids_of(rows["image_id"]),
        source=ArrowTexts(joined(rows["source"])),
        patch_rank=_column(rows, "patch_rank", np.int32),
        top=_column(rows, "top", np.int32),
        left=_column(rows, "left", np.int32),
        height=_column(rows, "height", np.int32),
        width=_column(rows, "width", np.int32),
        typicality=_column(rows, "typicality", np.float32),
        standard_error=_column(rows, "standard_error", np.float32),
        draws=_column(rows, "draws", np.int32),
        features=features,
    )


def ids_of(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Image ids as <U16; made without an object for each where all have their 16 characters."""
    whole = joined(column)
    if len(whole) and pc.all(pc.equal(pc.binary_length(whole), _ID_LENGTH)).as_py():
        fixed = whole.cast(pa.binary()).cast(pa.binary(_ID_LENGTH))
        return np.frombuffer(fixed.buffers()[1], f"S{_ID_LENGTH}", len(fixed), _ID_LENGTH * fixed.offset).astype("<U16")
    return np.asarray(whole.to_pylist(), "<U16")


class ArrowTexts:
    """`Texts` of an Arrow array of strings."""

    def __init__(self, texts: pa.StringArray) -> None:
        self.array = texts

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any, /) -> Any:
        if isinstance(rows, int | np.integer):
            return self.array[int(rows)].as_py()
        numbers = np.asarray(rows)
        if numbers.dtype == np.bool_:
            numbers = np.flatnonzero(numbers)
        return ArrowTexts(self.array.take(pa.array(numbers)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.array.to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrowTexts) and bool(self.array.equals(other.array))

    __hash__ = None  # type: ignore[assignment]

    def tolist(self) -> list[str]:
        """All texts."""
        return list(self.array.to_pylist())


def _column(rows: pa.Table, name: str, kind: type[Any]) -> NDArray[Any]:
    return np.asarray(rows[name].to_numpy(), kind)
