"""The files of a selection: OUT/ipc-N/ with the picks' images, selection.parquet and manifest.json."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from selector.errors import SelectorError, UsageError
from selector.folders.replacement import replaced
from selector.records import Crop, PatchTable
from selector.selection.selection import Selection

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
    ]
)
"""One row per pick, sorted by (class_id, rank). rank counts from 0; the box is in pixels after EXIF rotation."""


SELECTION_FILE = "selection.parquet"
MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.html"


def write_selection(
    out_dir: Path,
    ipc: int,
    selection: Selection,
    table: PatchTable,
    class_names: Sequence[str] | Mapping[int, str],
    crop: Crop,
    manifest: Mapping[str, Any],
    names: Mapping[int, str] | None = None,
) -> Path:
    """Writes out_dir/ipc-N and returns it; an older ipc-N is replaced as a whole, and only when the new one is complete.

    Files in the older one that are no selection's are kept, at the same place in the new one. The caller sees to it that no other
    process writes to out_dir meanwhile.

    `images/<class>/<rank:04d>_<image_id>.png` (rank from 0) is the native crop, not resized; manifest.json is
    `manifest` with the selection's summary under "selection". The same arguments give the same bytes. Raises what
    `crop` raises, in which case the older folder stands untouched, and UsageError if ipc-N is there but was not
    written by this function.

    class_names: what tells classes apart, of which folders and the summary are made. names: what the column class_name says
    instead, where classes have ids and names of their own.
    """
    final = refuse_foreign(out_dir, ipc)
    labels = dict(class_names) if isinstance(class_names, Mapping) else dict(enumerate(class_names))
    with replaced(final, _own_files) as partial:
        _write_images(partial, selection, table, labels, crop)
        picks = selection_table(selection, table, labels if names is None else names)
        pq.write_table(picks, partial / SELECTION_FILE, compression="zstd")
        stated = {**manifest, "selection": summary(selection, table, labels)}
        text = json.dumps(stated, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (partial / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    return final


def selection_table(
    selection: Selection, table: PatchTable, class_names: Sequence[str] | Mapping[int, str]
) -> pa.Table:
    """The picks as rows of SELECTION_SCHEMA."""
    picked = table.take(selection.row)
    columns = {
        "class_id": selection.class_id,
        "class_name": [class_names[number] for number in selection.class_id.tolist()],
        "rank": selection.rank,
        "image_id": picked.image_id.tolist(),
        "source": [str(source) for source in picked.source],
        "top": picked.top,
        "left": picked.left,
        "height": picked.height,
        "width": picked.width,
        "typicality": picked.typicality,
        "standard_error": picked.standard_error,
        "cluster_label": selection.cluster_label,
        "membership": selection.membership,
        "draws": picked.draws,
    }
    return pa.table(columns, schema=SELECTION_SCHEMA)


def summary(selection: Selection, table: PatchTable, class_names: Sequence[str] | Mapping[int, str]) -> dict[str, Any]:
    """What manifest.json says about the selection: how it was made, and counts per class. JSON values."""
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


def settings_of(folder: Path) -> dict[str, Any]:
    """How a written selection was made: its order, on_short and seed. Raises SelectorError if the folder holds none."""
    stated = _manifest(folder).get("selection", {})
    try:
        return {name: stated[name] for name in ("order", "on_short", "seed")}
    except (KeyError, TypeError) as error:
        raise SelectorError(f"{folder} holds no selection: make it first (selector select)") from error


def left_out_of(folder: Path) -> tuple[str, tuple[str, ...]]:
    """What a written selection did not choose from: its across_classes, and the patterns of --exclude.

    Raises SelectorError if the folder holds none.
    """
    asked = _manifest(folder).get("configuration", {}).get("select", {})
    return str(asked.get("across_classes", "first")), tuple(asked.get("exclude", ()))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SelectorError(f"{folder} holds no selection: make it first (selector select)") from error


def holds(folder: Path, selection: Selection, table: PatchTable, class_names: Mapping[int, str]) -> bool:
    """Whether the picks written in the folder are those of the selection."""
    picks = ["class_id", "rank", "image_id", "top", "left", "height", "width"]
    made = selection_table(selection, table, class_names).select(picks)
    return bool(pq.read_table(folder / SELECTION_FILE, columns=picks).equals(made))


def class_folder(class_name: str) -> str:
    """The folder name of a class: its name, with what a path can't hold percent-encoded, so that no two classes meet."""
    kept = "".join(f"%{ord(c):02X}" if c in '%/\\:*?"<>|' or ord(c) < 32 else c for c in class_name)
    return f"%2E{kept[1:]}" if kept.startswith(".") else kept or "%"


def _write_images(
    folder: Path, selection: Selection, table: PatchTable, class_names: Mapping[int, str], crop: Crop
) -> None:
    for number, name in sorted(class_names.items()):
        picks = np.flatnonzero(selection.class_id == number)
        if not len(picks):
            continue
        encoded: dict[int, bytes] = {}  # on_short="repeat" takes a row again
        for pick in picks:
            row = int(selection.row[pick])
            if row not in encoded:
                encoded[row] = _png(crop(str(table.source[row]), table.box(row)))
            own = _file_name(int(selection.rank[pick]), str(table.image_id[row]))
            path = folder / "images" / class_folder(name) / own
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded[row])


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """The pixels [height, width, 3] as a PNG without metadata."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def refuse_foreign(out_dir: Path, ipc: int) -> Path:
    """The folder out_dir/ipc-N; raises UsageError if what lies there is no selection."""
    final = out_dir / f"ipc-{ipc}"
    if not os.path.lexists(final) or (final.is_dir() and not final.is_symlink() and not any(final.iterdir())):
        return final
    if final.is_symlink() or not (final / SELECTION_FILE).is_file() or not (final / MANIFEST_FILE).is_file():
        raise UsageError(
            f"{final} is there and holds no selection ({SELECTION_FILE}, {MANIFEST_FILE}): it is not replaced. "
            "Move it away, or choose another --out."
        )
    return final


def _own_files(folder: Path) -> set[str]:
    """What a written selection holds, relative to its folder."""
    picks = pq.read_table(folder / SELECTION_FILE, columns=["rank", "image_id"]).to_pylist()
    files = {_file_name(pick["rank"], pick["image_id"]) for pick in picks}
    images = {path.relative_to(folder).as_posix() for path in folder.glob("images/*/*.png") if path.name in files}
    return {SELECTION_FILE, MANIFEST_FILE, REPORT_FILE, *images}


def _file_name(rank: int, identifier: str) -> str:
    return f"{rank:04d}_{identifier}.png"
