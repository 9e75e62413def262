"""images/<class>/<rank>_<image_id>.<suffix>: a folder of pictures for every class that has any."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from selector.output.classes import class_folder, indexed_folder
from selector.output.formats.exporter import Exporter
from selector.output.picks import Pick
from selector.output.pictures import SUFFIXES

FOLDER = "images"


class ImageFolder(Exporter):
    """The files are not listed in the manifest: `pictures_in` finds them by the picks."""

    pictures = True

    @cached_property
    def _folders(self) -> dict[tuple[int, str], Path]:
        """Folders that are there, by class and class folder."""
        return {}

    def add(self, pick: Pick) -> None:
        """See Exporter."""
        own = (pick.of.index, pick.folder)
        folder = self._folders.get(own)
        if folder is None:
            path = picture_path(self.shared.class_folders, pick.of.index, pick.of.key, pick.folder, pick.name)
            folder = self._folders[own] = self.folder / path.parent
            folder.mkdir(parents=True, exist_ok=True)
        name = f"{pick.name}{SUFFIXES[self.shared.image_format]}"
        with open(os.path.join(folder, name), "wb") as file:  # noqa: PTH118, PTH123  # a path would take as long as the file
            file.write(pick.picture)

    def finish(self) -> list[str]:
        """See Exporter."""
        return []


def picture_path(class_folders: str, index: int, key: str, source_folder: str, name: str) -> Path:
    """Where a pick's picture lies, without its suffix. class_folders: one of CLASS_FOLDERS."""
    folder = {"name": class_folder(key), "source": class_folder(source_folder), "index": indexed_folder(index)}
    return Path(FOLDER, folder[class_folders], name)


def pictures_in(folder: Path, names: set[str]) -> set[str]:
    """The files of an older export, relative to its folder. names: `pick_name` of all picks."""
    found = (path for suffix in SUFFIXES.values() for path in folder.glob(f"{FOLDER}/*/*{suffix}"))
    return {path.relative_to(folder).as_posix() for path in found if path.stem in names}
