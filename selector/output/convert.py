"""Another format of a written selection, without the store and without the originals.

What lies in the folder stays as it is, but for the formats that are asked for again, and for croissant.json, which describes the
others. The folder is replaced as a whole, when the new one is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

from selector.config import ExportConfig
from selector.errors import UsageError
from selector.folders.files import file_errors
from selector.folders.locks import held
from selector.folders.replacement import keep, replaced
from selector.output.export import Pictures, export
from selector.output.folder import MANIFEST_FILE, SOFT_LABELS_FILE, files_by_format, own_files, write_manifest
from selector.output.formats import EXPORTERS
from selector.output.picks import handed_out
from selector.output.stored import StoredPictures
from selector.output.written import Written


@dataclass(frozen=True)
class Conversion:
    """What is asked of `convert`; None stands for what the folder has. The rest as in ExportConfig."""

    formats: tuple[str, ...]
    size: int | None = None
    image_format: str | None = None
    class_folders: str | None = None
    metadata: Mapping[str, Any] | None = None
    wait: bool = True


def convert(folder: Path, asked: Conversion, note: Callable[[str], None]) -> dict[str, Any]:
    """Writes further formats into the folder of a selection; returns what its manifest says under "export".

    note: takes a line where the pictures are not what the originals would give. Raises UsageError where the folder has too little
    for what is asked, SelectorError where it is no longer as it was written.
    """
    folder = folder.resolve()
    _Converted.read(folder)  # before anything is left beside a folder that holds no selection
    with held(folder.parent, wait=asked.wait, note=note), file_errors(folder):
        written = _Converted.read(folder)
        stored, config = written.config(asked)
        written.keep_labelled_pictures(config)
        if stored is not None and not stored.gives(config.size, config.image_format):
            note(f"{folder}: the pictures are made from {_told(stored)}, not from the originals")
        rows = handed_out(written.picks, written.cut.take)
        pictures: Pictures = repeat(_no_picture, len(rows))
        if stored is not None:
            pictures = stored.made(rows, written.cut, config.size, config.image_format)
        with replaced(folder, own_files) as partial:
            for file in written.staying(config.formats):
                keep(folder / file, partial / file)
            formats = export(partial, folder.name, rows, written.classes, written.cut, config, pictures)
            if stored is not None:
                formats = _with_origin(formats, stored, config)
            made = {**written.stated, "metadata": dict(config.metadata)}
            made["formats"] = {**written.stated["formats"], **formats}
            write_manifest(partial, {**written.manifest, "export": made})
    return made


class _Converted(Written):
    """A selection of which further formats are made."""

    def config(self, asked: Conversion) -> tuple[StoredPictures | None, ExportConfig]:
        """Which pictures are taken, if formats need any, and what is to be written; raises UsageError."""
        formats = tuple(dict.fromkeys(asked.formats))
        if "croissant" in self.stated["formats"]:
            formats = (*(name for name in formats if name != "croissant"), "croissant")
        stored = self.stored()
        metadata = self.stated.get("metadata", {}) if asked.metadata is None else asked.metadata
        folders = [one.class_folders for one in stored if one.class_folders]
        config = ExportConfig(
            formats, self.cut.take, class_folders=asked.class_folders or (folders or ["name"])[0], metadata=metadata
        )
        if not any(EXPORTERS[name].pictures for name in formats):
            return None, config
        best = self._best(formats, stored, asked)
        size = best.size if asked.size is None else asked.size
        return best, replace(config, size=size, image_format=asked.image_format or best.image_format)

    def _best(self, formats: Sequence[str], stored: Sequence[StoredPictures], asked: Conversion) -> StoredPictures:
        again = f"select again with the originals: selector select --export {','.join(formats)}"
        if not stored:
            there = ", ".join(self.stated["formats"])
            raise UsageError(f"{self.folder} holds no pictures ({there}), and {', '.join(formats)} needs some: {again}")
        reaching = [one for one in stored if asked.size is None or one.reaches(asked.size)]
        if not reaching:
            wanted = f"--size {asked.size}" if asked.size else "pictures that are not fitted (--size 0)"
            there = " and ".join(map(_told, stored))
            raise UsageError(f"{self.folder} holds {there}, too small for {wanted}: {again} --size {asked.size}")
        if asked.size is None:
            return reaching[0]
        image_format = asked.image_format
        return min(reaching, key=lambda one: not one.gives(asked.size or 0, image_format or one.image_format))

    def keep_labelled_pictures(self, config: ExportConfig) -> None:
        """Raises UsageError if pictures would become others that soft labels may be about."""
        for name in config.formats if (self.folder / SOFT_LABELS_FILE).is_file() else ():
            there = self.stated["formats"].get(name, {})
            if "size" in there and (there["size"], there["image_format"]) != (config.size, config.image_format):
                raise UsageError(
                    f"{self.folder / SOFT_LABELS_FILE} has boxes of pictures that would become others ({name}): "
                    "remove it, and label again afterwards (selector label)"
                )

    def staying(self, formats: Sequence[str]) -> list[str]:
        """The folder's own files that are not written anew."""
        by_format = files_by_format(self.folder)
        gone = {MANIFEST_FILE}.union(*(by_format.get(name, set()) for name in formats))
        return sorted(file for file in own_files(self.folder) - gone if (self.folder / file).exists())


def _told(stored: StoredPictures) -> str:
    return f"{stored.image_format} pictures of {stored.size or 'the native'} px ({stored.name})"


def _with_origin(formats: dict[str, Any], stored: StoredPictures, config: ExportConfig) -> dict[str, Any]:
    """The same, with what pictures were made from where they are not what the originals would give."""
    if stored.gives(config.size, config.image_format):
        return formats
    origin = {"format": stored.name, "size": stored.size, "image_format": stored.image_format}
    return {name: {**one, "made_from": origin} if EXPORTERS[name].pictures else one for name, one in formats.items()}


def _no_picture() -> bytes:
    raise AssertionError("a format without pictures asked for one")
