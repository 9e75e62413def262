"""The seam between the picks and a format: picks come one by one, files are left in a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selector.output.classes import OutputClass
from selector.output.picks import Pick


@dataclass(frozen=True)
class HandedOut:
    """What all picks of an export share.

    title: the name of the set's folder. classes: by index. image_format, class_folders: as in ExportConfig. metadata: what
    `read_metadata` gives.
    """

    title: str
    classes: tuple[OutputClass, ...]
    image_format: str
    class_folders: str
    metadata: Mapping[str, Any]


class Exporter(ABC):
    """Writes picks in one format below the folder of a selection, in which selection.parquet lies already."""

    pictures: ClassVar[bool] = False
    """Whether the format holds pictures."""

    def __init__(self, folder: Path, shared: HandedOut) -> None:
        self.folder, self.shared = folder, shared

    @abstractmethod
    def add(self, pick: Pick) -> None:
        """Takes the next pick."""

    @abstractmethod
    def finish(self) -> list[str]:
        """Writes what is left, when all picks are there; returns the files that it wrote, relative to the folder."""

    def close(self) -> None:  # noqa: B027  # most formats hold no file open
        """Lets go of open files, also when the export failed."""
