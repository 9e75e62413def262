"""soft-labels.parquet: a row for every view, with what the teacher says of it; what all share is in the schema's metadata.

A label is probabilities in half precision, after the temperature: of all classes in their order, or of the most probable ones
alone, which then name their classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selector.soft_labels.views import View

METADATA = b"soft_labels"
_GROUP = 10_000
"""Rows of a row group, which are in memory until it is written."""

_COLUMNS = {
    "picture": pa.string(),
    "picture_height": pa.int32(),
    "picture_width": pa.int32(),
    "class_index": pa.int32(),
    "rank": pa.int32(),
    "image_id": pa.string(),
    "view": pa.int32(),
    "top": pa.int32(),
    "left": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "mirrored": pa.bool_(),
}


@dataclass(frozen=True)
class Labelled:
    """A view of a picture. number: of the view. size: height and width of the picture, whose name and pick are the others."""

    picture: str
    size: tuple[int, int]
    class_index: int
    rank: int
    image_id: str
    number: int
    view: View

    def values(self) -> tuple[Any, ...]:
        """What stands in the columns."""
        box = self.view.box
        pick = (self.picture, *self.size, self.class_index, self.rank, self.image_id)
        return (*pick, self.number, box.top, box.left, box.height, box.width, self.view.mirrored)


def schema(kept: int, classes: int, about: Mapping[str, Any]) -> pa.Schema:
    """kept: classes of a label, of so many."""
    columns = dict(_COLUMNS)
    if kept < classes:
        columns["classes"] = pa.list_(pa.int32(), kept)
    columns["probabilities"] = pa.list_(pa.float16(), kept)
    return pa.schema(columns, metadata={METADATA: json.dumps(about, sort_keys=True, ensure_ascii=False)})


def softened(
    logits: NDArray[np.float32], temperature: float, kept: int
) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """The `kept` most probable classes of each row, best first, and their probabilities; all in their order if none is left.

    logits: float32 [n, classes]. The probabilities are those among all classes. Ties go to the class of the smaller number.
    """
    raised = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature)
    probabilities = raised / raised.sum(axis=1, keepdims=True)
    order = np.broadcast_to(np.arange(logits.shape[1]), logits.shape)
    if kept < logits.shape[1]:
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :kept]
    return order.astype(np.int32), np.take_along_axis(probabilities, order, axis=1).astype(np.float16)


class Writer:
    """Takes labels batch by batch."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file
        self._rows: list[Labelled] = []
        self._labels: list[tuple[NDArray[np.int32], NDArray[np.float16]]] = []

    def add(self, views: list[Labelled], classes: NDArray[np.int32], probabilities: NDArray[np.float16]) -> None:
        """The labels of these views, [n, kept]."""
        self._rows += views
        self._labels.append((classes, probabilities))
        if len(self._rows) >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Writes what is left."""
        if not self._rows:
            return
        schema = self._file.schema
        values = zip(*(row.values() for row in self._rows), strict=True)
        columns = [pa.array(column, schema.field(name).type) for name, column in zip(_COLUMNS, values, strict=True)]
        for name, parts in zip(("classes", "probabilities"), zip(*self._labels, strict=True), strict=True):
            if name in schema.names:
                joined = np.concatenate(parts)
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(joined.ravel()), joined.shape[1]))
        self._file.write_table(pa.table(columns, schema=schema))
        self._rows, self._labels = [], []


@contextmanager
def written(path: Path, kept: int, classes: int, about: Mapping[str, Any]) -> Iterator[Writer]:
    """A writer whose file takes its place, whole, if the body ends well, and vanishes if it does not. Raises OSError.

    What a killed process left there goes. The caller sees to it that no other process writes the same file.
    """
    for left in path.parent.glob(f".{path.name}.*.part"):
        left.unlink()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with pq.ParquetWriter(part, schema(kept, classes, about), compression="zstd") as file:
            writer = Writer(file)
            yield writer
            writer.flush()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
