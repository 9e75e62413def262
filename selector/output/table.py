"""The picks of a selection as a table: selection.parquet, and what manifest.json says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from selector.output.classes import OutputClass
from selector.records import PatchTable
from selector.selection.selection import Selection

SELECTION_FILE = "selection.parquet"

SELECTION_SCHEMA = pa.schema(
    [
        ("class_id", pa.int32()),
        ("class_name", pa.string()),
        ("rank", pa.int32()),
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("top", pa.int32()),
        ("left", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("typicality", pa.float32()),
        ("standard_error", pa.float32()),
        ("cluster_label", pa.int32()),
        ("membership", pa.float32()),
        ("draws", pa.int32()),
        ("image_height", pa.int32()),
        ("image_width", pa.int32()),
        ("class_index", pa.int32()),
        ("class_key", pa.string()),
        ("class_folder", pa.string()),
    ]
)
"""One row per pick, sorted by (class_id, rank). rank counts from 0; box and image size are in pixels after EXIF rotation.
class_index, class_key: as in OutputClass. class_folder: the class folder of the data that the image lies in."""

IDENTITY = ["class_id", "rank", "image_id", "top", "left", "height", "width"]
"""What makes a pick the one it is."""


def selection_table(
    selection: Selection,
    table: PatchTable,
    classes: Sequence[OutputClass],
    images: pa.Table,
    folders: Mapping[str, str],
) -> pa.Table:
    """The picks as rows of SELECTION_SCHEMA.

    images: height and width of every pick's image. folders: source → the class folder that it lies in, "" for
    one without labels, which gets its class's key.
    """
    picked = table.take(selection.row)
    sources = [str(source) for source in picked.source]
    known = {one.class_id: one for one in classes}
    numbers = selection.class_id.tolist()
    columns = {
        "class_id": selection.class_id,
        "class_name": [known[number].name for number in numbers],
        "rank": selection.rank,
        "image_id": picked.image_id.tolist(),
        "source": sources,
        "top": picked.top,
        "left": picked.left,
        "height": picked.height,
        "width": picked.width,
        "typicality": picked.typicality,
        "standard_error": picked.standard_error,
        "cluster_label": selection.cluster_label,
        "membership": selection.membership,
        "draws": picked.draws,
        "image_height": images["height"],
        "image_width": images["width"],
        "class_index": [known[number].index for number in numbers],
        "class_key": [known[number].key for number in numbers],
        "class_folder": [folders[source] or known[number].key for source, number in zip(sources, numbers, strict=True)],
    }
    return pa.table(columns, schema=SELECTION_SCHEMA)


def identity(selection: Selection, table: PatchTable) -> pa.Table:
    """The picks as the columns of IDENTITY."""
    picked = table.take(selection.row)
    columns = {name: getattr(picked, name) for name in IDENTITY if name != "rank"} | {"rank": selection.rank}
    columns["image_id"] = picked.image_id.tolist()
    return pa.table(columns, schema=pa.schema([SELECTION_SCHEMA.field(name) for name in IDENTITY]))


def summary(selection: Selection, table: PatchTable, class_names: Mapping[int, str]) -> dict[str, Any]:
    """What manifest.json says about the selection: how it was made, and counts per class. JSON values.

    class_names: class_id → what tells classes apart.
    """
    classes = {}
    for number, made in selection.orders.items():
        rows = selection.class_rows[number]
        classes[class_names[number]] = {
            "images": len(np.unique(table.image_id[rows])),
            "patches": len(rows),
            "picks": int((selection.class_id == number).sum()),
            "method": made.method,
            "clusters": made.clusters,
            "unclustered": round(made.unclustered, 6),
            "note": made.note,
        }
    return {
        "ipc": selection.ipc,
        "order": selection.order,
        "on_short": selection.on_short,
        "seed": selection.seed,
        "picks": len(selection),
        "classes": classes,
    }
