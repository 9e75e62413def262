"""parquet/train-00000-of-00001.parquet: a row for every pick, with the features of `datasets` in the schema's metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selector.output.formats.exporter import Exporter, HandedOut
from selector.output.picks import Pick
from selector.output.pictures import SUFFIXES

FOLDER = "parquet"
GROUP_ROWS, GROUP_BYTES = 100, 1 << 25
"""A row group ends with the pick that reaches one of both; so much is in memory."""
FILE_BYTES = 1 << 29
"""A file ends with the row group that reaches it."""

_FACTS = {
    "class_key": pa.string(),
    "class_name": pa.string(),
    "rank": pa.int32(),
    "image_id": pa.string(),
    "source": pa.string(),
    "top": pa.int32(),
    "left": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "image_height": pa.int32(),
    "image_width": pa.int32(),
    "typicality": pa.float32(),
}
_DTYPES = {pa.string(): "string", pa.int32(): "int32", pa.float32(): "float32"}


def schema(labels: list[str]) -> pa.Schema:
    """The columns, and what `datasets` reads of them: image is an Image, label a ClassLabel of these names."""
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": {"names": labels, "_type": "ClassLabel"}}
    features |= {name: {"dtype": _DTYPES[kind], "_type": "Value"} for name, kind in _FACTS.items()}
    stated = json.dumps({"info": {"features": features}})
    return pa.schema({"image": image, "label": pa.int64(), **_FACTS}, metadata={"huggingface": stated})


class Parquet(Exporter):
    """Its files are numbered when all are there: a name says how many there are."""

    pictures = True

    def __init__(self, folder: Path, shared: HandedOut) -> None:
        super().__init__(folder, shared)
        self._schema = schema([one.label for one in shared.classes])
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._parts: list[Path] = []

    def add(self, pick: Pick) -> None:
        """See Exporter."""
        content = pick.picture
        image = {"bytes": content, "path": pick.key + SUFFIXES[self.shared.image_format]}
        self._rows.append({"image": image, "label": pick.of.index, **pick.facts()})
        self._bytes += len(content)
        if len(self._rows) == GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()

    def finish(self) -> list[str]:
        """See Exporter."""
        if self._rows or not self._parts:
            self._write()
        self.close()
        files = [f"{FOLDER}/train-{n:05d}-of-{len(self._parts):05d}.parquet" for n in range(len(self._parts))]
        for part, file in zip(self._parts, files, strict=True):
            part.rename(self.folder / file)
        return files

    def close(self) -> None:
        """See Exporter."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self) -> None:
        writer = self._writer or self._next()
        writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._bytes = [], 0
        if self._parts[-1].stat().st_size >= FILE_BYTES:
            self.close()

    def _next(self) -> pq.ParquetWriter:
        self._parts.append(self.folder / FOLDER / f"part-{len(self._parts)}")
        self._parts[-1].parent.mkdir(exist_ok=True)
        self._writer = pq.ParquetWriter(self._parts[-1], self._schema, compression="snappy")
        return self._writer
