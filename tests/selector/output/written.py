"""Selections on disk whose pixels are known, made without a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selector.config import ExportConfig
from selector.output.classes import output_classes
from selector.output.folder import write_selection
from selector.output.picks import records, window
from selector.output.pictures import Cut, encoded
from selector.output.table import selection_table, summary
from selector.records import Box, PatchTable
from selector.selection.selection import Selection, select
from tests.patch_tables import patch_table

SIZE = (70, 90)
"""Height and width of every original."""


def original(source: str) -> NDArray[np.uint8]:
    """Smooth pixels that tell the source: an enlarged picture of a few random ones."""
    draw = np.random.default_rng([*source.encode()])
    few = draw.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return np.ascontiguousarray(few.repeat(10, axis=0).repeat(10, axis=1))


def crop(source: str, box: Box) -> NDArray[np.uint8]:
    """The box of the original."""
    return original(source)[box.top : box.top + box.height, box.left : box.left + box.width]


def pictures_of(
    crop: Callable[[str, Box], NDArray[np.uint8]],
) -> Callable[[pa.Table, Cut, ExportConfig], Iterator[Callable[[], bytes]]]:
    """What `write_selection` takes, from a function that gives the pixels of a box: each is cut when it is wanted."""

    def cut_one(row: dict[str, Any], cut: Cut, config: ExportConfig) -> bytes:
        pixels = crop(row["source"], cut.box(window(row), row["image_height"], row["image_width"]))
        return encoded(cut.fitted(pixels, config.size), config.image_format, row["source"])

    return lambda rows, cut, config: (partial(cut_one, row, cut, config) for row in records(rows))


def write(
    out: Path,
    ipc: int = 4,
    *,
    keys: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
    counts: list[int] | None = None,
    table: PatchTable | None = None,
    mode: str = "crop",
    export: Mapping[str, Any] | None = None,
    crop: Callable[[str, Box], NDArray[np.uint8]] = crop,
    **options: Any,
) -> tuple[Path, Selection, PatchTable]:
    """Writes out/ipc-N of random patches. options: of `select`. export: of ExportConfig. crop: what pictures show."""
    keys = keys or {0: "t-shirt", 1: "ankle/boot"}
    table = table or patch_table(counts or [9, 7])
    made = select(table, keys, ipc, **options)
    classes = output_classes(keys, names or keys)
    height, width = SIZE
    images = pa.table({"height": [height] * len(made), "width": [width] * len(made)})
    folders = {str(source): str(source).partition("/")[0] for source in table.source}
    rows = selection_table(made, table, classes, images, folders)
    stated = {"versions": {"selector": "0.1"}, "selection": summary(made, table, keys)}
    folder = out / f"ipc-{ipc}"
    write_selection(folder, rows, classes, pictures_of(crop), stated, ExportConfig(**export or {}), mode)
    return folder, made, table


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of selection.parquet."""
    return list(pq.read_table(folder / "selection.parquet").to_pylist())


def pixels_of(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The window of a row of selection.parquet, as the original has it."""
    return crop(row["source"], Box(row["top"], row["left"], row["height"], row["width"]))
