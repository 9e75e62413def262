"""The files of a selection: OUT/ipc-N/ with selection.parquet, manifest.json, and the picks in the formats asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selector.config import ExportConfig
from selector.errors import SelectorError, UsageError
from selector.folders.replacement import keep, replaced
from selector.output.classes import OutputClass
from selector.output.export import Pictures, export, stated
from selector.output.formats.imagefolder import pictures_in
from selector.output.picks import handed_out, pick_name
from selector.output.pictures import Cut
from selector.output.table import IDENTITY, SELECTION_FILE, identity
from selector.records import PatchTable
from selector.selection.selection import Selection

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.html"
SOFT_LABELS_FILE = "soft-labels.parquet"
"""What `selector label` writes: it stays as long as the pictures that it is about."""


def write_selection(
    final: Path,
    picks: pa.Table,
    classes: Sequence[OutputClass],
    pictures: Callable[[pa.Table, Cut, ExportConfig], Pictures],
    manifest: Mapping[str, Any],
    config: ExportConfig | None = None,
    mode: str = "crop",
) -> dict[str, Any]:
    """Writes the folder of a selection and returns what its manifest says; an older folder is replaced as a whole, and only when
    the new one is complete.

    Files in the older one that are no selection's are kept, at the same place in the new one. The caller sees to it that no other
    process writes beside it meanwhile, and that nothing foreign lies there (`refuse_foreign`). The same arguments give the same
    bytes. Raises what `pictures` raises, in which case the older folder stands untouched.

    picks: as `selection_table` gives them. pictures: gives the pictures of what is handed out, see `Cutter`. manifest: what
    manifest.json says beside "export" and the count of what is handed out.
    mode: how whole images are fitted.
    """
    config = config or ExportConfig()
    cut = Cut(config.take, mode)
    rows = handed_out(picks, config.take)
    with replaced(final, own_files) as partial:
        pq.write_table(picks, partial / SELECTION_FILE, compression="zstd")
        made = pictures(rows, cut, config)
        formats = export(partial, final.name, rows, tuple(classes), cut, config, made)
        counts = {**manifest.get("counts", {}), "handed_out": len(rows)}
        written = {**manifest, "counts": counts, "export": stated(len(picks), rows, classes, cut, config, formats)}
        write_manifest(partial, written)
        if _same_pictures(final, partial):
            keep(final / SOFT_LABELS_FILE, partial / SOFT_LABELS_FILE)
    return written


def _same_pictures(labelled: Path, partial: Path) -> bool:
    """Whether the older folder has soft labels, and they are about the pictures of the new one."""
    files = (SELECTION_FILE, SOFT_LABELS_FILE, MANIFEST_FILE)
    return (
        all((labelled / file).is_file() for file in files)
        and (labelled / SELECTION_FILE).read_bytes() == (partial / SELECTION_FILE).read_bytes()
        and read_manifest(labelled).get("export") == read_manifest(partial)["export"]
    )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes manifest.json."""
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def settings_of(folder: Path) -> dict[str, Any]:
    """How a written selection was made: its order, on_short and seed. Raises SelectorError if the folder holds none."""
    made = read_manifest(folder).get("selection", {})
    try:
        return {name: made[name] for name in ("order", "on_short", "seed")}
    except (KeyError, TypeError) as error:
        raise SelectorError(f"{folder} holds no selection: make it first (selector select)") from error


def left_out_of(folder: Path) -> tuple[str, tuple[str, ...]]:
    """What a written selection did not choose from: its across_classes, and the patterns of --exclude.

    Raises SelectorError if the folder holds none.
    """
    asked = read_manifest(folder).get("configuration", {}).get("select", {})
    return str(asked.get("across_classes", "first")), tuple(asked.get("exclude", ()))


def taken_in(folder: Path) -> str:
    """What a written selection hands out, one of TAKE; raises SelectorError if the folder holds none."""
    return str(read_manifest(folder).get("export", {}).get("take", "patch"))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What manifest.json says; raises SelectorError if the folder holds no selection."""
    try:
        return dict(json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SelectorError(f"{folder} holds no selection: make it first (selector select)") from error


def holds(folder: Path, selection: Selection, table: PatchTable) -> bool:
    """Whether the picks written in the folder are those of the selection."""
    return bool(pq.read_table(folder / SELECTION_FILE, columns=IDENTITY).equals(identity(selection, table)))


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


def own_files(folder: Path) -> set[str]:
    """What a written selection holds, relative to its folder."""
    return {SELECTION_FILE, MANIFEST_FILE, REPORT_FILE, SOFT_LABELS_FILE}.union(*files_by_format(folder).values())


def files_by_format(folder: Path) -> dict[str, set[str]]:
    """The files of every format of a written selection, relative to its folder."""
    rows = pq.read_table(folder / SELECTION_FILE, columns=["rank", "image_id"]).to_pylist()
    try:
        formats = read_manifest(folder)["export"]["formats"]
        listed = {name: set(one["files"]) for name, one in formats.items()}
    except (
        SelectorError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # damaged, or of an older version: what is not known is kept
        listed = {}
    pictures = pictures_in(folder, {pick_name(row["rank"], row["image_id"]) for row in rows})
    return listed | {"imagefolder": pictures}
