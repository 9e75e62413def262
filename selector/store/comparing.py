"""Are rows that two stores have of the same images the same? Bit for bit, or within what kinds of GPUs differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.images.listing import joined

TOLERANCES: Mapping[str, float] = {"fp32": 1e-4, "fp16": 1e-2}
"""By precision, how far two runs of one graph may be apart, absolute: losses are about 1, and features have the length 1. It is
what an export's gate allows the losses of a graph (export_scripts/graphs/leaves.py)."""

_HALF_STEP = 2.0**-10  # vectors are kept in float16: what was rounded the other way is one step off
_WINDOWS = "window_"
_OF_THE_COPY = ("mtime_ns",)  # of the file, and no result: a copy of the data has another

VECTORS = {"images": "the map", "patches": "the feature"}
"""What a vector is, by stage."""


@dataclass(frozen=True)
class Comparison:
    """Of rows of two stores, in the same order.

    column, row: the first that is not what it has to be; "" if there is none. exact: bool [n], which ones are equal bit for
    bit. moved: bool [n], which ones have another window that is as good.
    """

    column: str
    row: int
    exact: NDArray[np.bool_]
    moved: NDArray[np.bool_]


def compare(
    stage: str,
    rows: tuple[pa.Table, pa.Table],
    vectors: tuple[NDArray[np.float16], NDArray[np.float16]],
    tolerance: float | None,
) -> Comparison:
    """Compares rows of IMAGE_SCHEMA or PATCH_SCHEMA, and their vectors. tolerance: None if they are to be equal bit for bit.

    Within a tolerance also windows may be others: two that are as good come first on one machine each.
    """
    one, other = rows
    exact, moved = np.ones(len(one), np.bool_), np.zeros(len(one), np.bool_)
    column, row = "", 0
    for name in (*(name for name in one.column_names if name not in _OF_THE_COPY), VECTORS[stage]):
        if name == VECTORS[stage]:
            pair = (_Flat.of_vectors(vectors[0]), _Flat.of_vectors(vectors[1]))
        else:
            pair = (_Flat.of(joined(one[name])), _Flat.of(joined(other[name])))
        same = _same(*pair, None)
        exact &= same
        if tolerance is not None:
            if name.startswith(_WINDOWS):
                moved |= ~same
                continue
            same |= _same(*pair, tolerance)
            if name == "standard_error":
                same |= moved  # of another window
        if not same.all() and not column:
            column, row = name, int(np.argmin(same))
    return Comparison(column, row, exact, moved)


@dataclass(frozen=True)
class _Flat:
    """The values of a column one after the other: how many each row has, -1 for null."""

    values: NDArray[Any]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.Array) -> _Flat:
        lengths = np.ones(len(column), np.int64)
        if pa.types.is_list(column.type):
            lengths, column = column.value_lengths().to_numpy(), column.flatten()
        elif column.null_count:
            lengths = np.where(np.asarray(column.is_valid()), 1, -1)
            column = column.drop_null()
        if pa.types.is_string(column.type):
            return cls(column.to_numpy(zero_copy_only=False), np.asarray(lengths, np.int64))
        return cls(column.to_numpy(), np.asarray(lengths, np.int64))

    @classmethod
    def of_vectors(cls, vectors: NDArray[np.float16]) -> _Flat:
        flat = np.ascontiguousarray(vectors).reshape(len(vectors), -1)
        return cls(flat.ravel(), np.full(len(flat), flat.shape[1], np.int64))

    def taken(self, rows: NDArray[np.bool_]) -> NDArray[Any]:
        """The values of these rows."""
        kept: NDArray[Any] = self.values[np.repeat(rows, np.maximum(self.lengths, 0))]
        return kept


def _same(one: _Flat, other: _Flat, tolerance: float | None) -> NDArray[np.bool_]:
    """bool [n], which rows are the same."""
    alike: NDArray[np.bool_] = one.lengths == other.lengths
    a, b = one.taken(alike), other.taken(alike)
    if not np.issubdtype(a.dtype, np.floating):
        equal = a == b
    elif tolerance is None:
        bits = f"u{a.dtype.itemsize}"
        equal = a.view(bits) == b.view(bits)
    else:
        step = _HALF_STEP if a.dtype == np.float16 else 0.0
        equal = np.isclose(b.astype(np.float64), a.astype(np.float64), rtol=step, atol=tolerance, equal_nan=True)
    rows = np.repeat(np.arange(len(alike)), np.where(alike, np.maximum(one.lengths, 0), 0))
    alike[rows[~np.asarray(equal, np.bool_)]] = False
    return alike


def repeated(rows: pa.Table, *key: str) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows sorted by the key and then by `store`, and for each the first row of the same key."""
    order = [(name, "ascending") for name in (*key, "store")]
    rows = rows.take(pc.sort_indices(rows, sort_keys=order)).combine_chunks()
    again = np.zeros(len(rows), np.bool_)
    if len(rows) > 1:
        again[1:] = True
        for name in key:
            column = joined(rows[name])
            again[1:] &= pc.equal(column.slice(1), column.slice(0, len(rows) - 1)).to_numpy(zero_copy_only=False)
    return rows, np.maximum.accumulate(np.where(again, 0, np.arange(len(rows))))
