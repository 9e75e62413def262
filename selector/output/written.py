"""A selection as it lies in its folder, for what is made of it later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from selector.errors import SelectorError
from selector.output.classes import OutputClass
from selector.output.folder import MANIFEST_FILE, read_manifest
from selector.output.formats import EXPORTERS
from selector.output.pictures import Cut
from selector.output.stored import StoredPictures
from selector.output.table import SELECTION_FILE, SELECTION_SCHEMA


@dataclass(frozen=True)
class Written:
    """manifest: what manifest.json says. stated: what it says under "export". picks: the rows of selection.parquet."""

    folder: Path
    manifest: dict[str, Any]
    stated: dict[str, Any]
    picks: pa.Table
    classes: tuple[OutputClass, ...]
    cut: Cut

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises SelectorError if the folder holds no selection, or one that says too little of itself."""
        manifest = read_manifest(folder)
        if not (folder / SELECTION_FILE).is_file():
            raise SelectorError(f"{folder} holds no selection: make it first (selector select)")
        stated = manifest.get("export")
        if not isinstance(stated, dict):
            raise SelectorError(
                f"{folder} was written before there was `selector convert`: select again (selector select)"
            )
        try:
            picks = pq.read_table(folder / SELECTION_FILE, columns=SELECTION_SCHEMA.names)
            classes = tuple(OutputClass(**one) for one in stated["classes"])
            found = cls(folder, manifest, stated, picks, classes, Cut(stated["take"], stated["fit"]))
            found.stored()
        except (KeyError, TypeError, AttributeError, pa.ArrowException) as error:
            raise SelectorError(
                f"{folder}: {SELECTION_FILE} or {MANIFEST_FILE} is damaged ({error}): select again (selector select)"
            ) from None
        return found

    def stored(self) -> list[StoredPictures]:
        """The formats that hold pictures, those that lost least first."""
        found = []
        for name, one in self.stated["formats"].items():
            if name in EXPORTERS and EXPORTERS[name].pictures:
                size, image_format, files = one["size"], one["image_format"], tuple(one["files"])
                folders, exact = one.get("class_folders", ""), "made_from" not in one
                found.append(StoredPictures(self.folder, name, files, size, image_format, folders, exact))
        return sorted(found, key=lambda one: (not one.exact, one.size != 0, -one.size, not one.lossless))
