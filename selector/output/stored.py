"""The pictures that lie in a written selection, in the order of `handed_out`, for a further format of it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.output.formats.imagefolder import picture_path
from selector.output.picks import pick_key, pick_name, records
from selector.output.pictures import LOSSLESS, SUFFIXES, Cut, decoded, encoded


@dataclass(frozen=True)
class StoredPictures:
    """A format of a written selection that holds pictures.

    size, image_format, class_folders: as in ExportConfig. exact: whether the originals would give the same pictures.
    """

    folder: Path
    name: str
    files: tuple[str, ...]
    size: int
    image_format: str
    class_folders: str
    exact: bool

    @property
    def lossless(self) -> bool:
        """Whether the pixels are those that were written."""
        return self.image_format in LOSSLESS

    def gives(self, size: int, image_format: str) -> bool:
        """Whether what is made of these pictures is what the originals would give."""
        return self.exact and (
            (self.size, self.image_format) == (size, image_format) or (self.lossless and self.size in (0, size))
        )

    def reaches(self, size: int) -> bool:
        """Whether no pixel is wanted that these pictures have lost. size: 0 for pictures that were not fitted."""
        return not self.size or 0 < size <= self.size

    def contents(self, rows: pa.Table) -> Iterator[Callable[[], bytes]]:
        """What gives the file of every row's picture; raises SelectorError where one is missing or another."""
        return {"imagefolder": self._files, "webdataset": self._samples, "parquet": self._cells}[self.name](rows)

    def made(self, rows: pa.Table, cut: Cut, size: int, image_format: str) -> Iterator[Callable[[], bytes]]:
        """The same for pictures of another size or format."""
        as_they_are = (self.size, self.image_format) == (size, image_format)
        for row, content in zip(records(rows), self.contents(rows), strict=True):
            yield content if as_they_are else partial(self._remade, row, content, cut, size, image_format)

    def _remade(
        self, row: Mapping[str, Any], content: Callable[[], bytes], cut: Cut, size: int, image_format: str
    ) -> bytes:
        pixels = self.pixels(row, content(), cut)
        if self.size != size:  # pictures that were fitted are square: there is nothing left to cut off
            pixels = (Cut("patch", cut.mode) if self.size else cut).fitted(pixels, size)
        return encoded(pixels, image_format, row["source"])

    def pixels(self, row: Mapping[str, Any], content: bytes, cut: Cut) -> NDArray[np.uint8]:
        """What a row's picture shows, [h, w, 3]; raises SelectorError if it is not the picture that was written."""
        try:
            pixels = decoded(content)
        except (OSError, SyntaxError, ValueError) as error:
            raise self._broken(f"the picture of {row['source']} can't be decoded ({error})") from None
        native = ("image_height", "image_width") if cut.take == "image" else ("height", "width")
        expected = (self.size, self.size) if self.size else tuple(row[side] for side in native)
        if pixels.shape[:2] != expected:
            raise self._broken(f"the picture of {row['source']} has {pixels.shape[:2]} pixels, not {expected}")
        return pixels

    def name_of(self, row: Mapping[str, Any]) -> str:
        """What a row's picture is called: its path in the folder, or the name of its member or cell."""
        if self.name != "imagefolder":
            return _key(row) + SUFFIXES[self.image_format]
        name = pick_name(row["rank"], row["image_id"])
        path = picture_path(self.class_folders, row["class_index"], row["class_key"], row["class_folder"], name)
        return path.as_posix() + SUFFIXES[self.image_format]

    def _files(self, rows: pa.Table) -> Iterator[Callable[[], bytes]]:
        for row in records(rows):
            yield partial(self._file, self.folder / self.name_of(row))

    def _file(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._broken(f"{path} can't be read ({error.strerror or error})") from None

    def _samples(self, rows: pa.Table) -> Iterator[Callable[[], bytes]]:
        expected = records(rows)
        for name in self.files:
            try:
                with tarfile.open(self.folder / name, "r:") as tar:
                    for member in tar:
                        if member.name.endswith(SUFFIXES[self.image_format]):
                            key = _key(next(expected, {}))
                            content = tar.extractfile(member)
                            if content is None or not member.name.startswith(f"{key}."):
                                raise self._broken(f"{name} has {member.name} where {key} was")
                            yield partial(bytes, content.read())
            except (OSError, tarfile.TarError) as error:
                raise self._broken(f"{name} can't be read ({error})") from None
        if (row := next(expected, None)) is not None:
            raise self._broken(f"{_key(row)} is missing")

    def _cells(self, rows: pa.Table) -> Iterator[Callable[[], bytes]]:
        expected = records(rows)
        for name in self.files:
            try:
                with pq.ParquetFile(self.folder / name) as file:
                    for batch in file.iter_batches(batch_size=100, columns=["image", "label", "rank", "image_id"]):
                        for cell in batch.to_pylist():
                            key = _key(next(expected, {}))
                            if key != _key({**cell, "class_index": cell["label"]}):
                                raise self._broken(f"{name} has another picture where {key} was")
                            yield partial(bytes, cell["image"]["bytes"])
            except (OSError, pa.ArrowException) as error:
                raise self._broken(f"{name} can't be read ({error})") from None
        if (row := next(expected, None)) is not None:
            raise self._broken(f"{_key(row)} is missing")

    def _broken(self, what: str) -> SelectorError:
        return SelectorError(
            f"{self.folder}: its {self.name} is no longer as it was written: {what}. Put it back, or select again"
        )


def _key(row: Mapping[str, Any]) -> str:
    return pick_key(row["class_index"], row["rank"], row["image_id"]) if row else "no further sample"
