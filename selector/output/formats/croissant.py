"""croissant.json: the set described in Croissant 1.0 (JSON-LD), for catalogues and for mlcroissant.

It describes selection.parquet and the formats that lie in the folder when it is written. What only the owner knows comes from
--metadata; what was not given is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selector.output.formats.exporter import Exporter
from selector.output.picks import Pick
from selector.output.table import SELECTION_FILE

FILE = "croissant.json"

_WORDS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset jsonPath key "
    "md5 parentField path recordSet references regex repeated replace samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{word: f"cr:{word}" for word in _WORDS.split()},
}
"""The context that the specification asks for: all of it, whether a word occurs or not."""
_PROPERTIES = {
    "description": "description",
    "url": "url",
    "license": "license",
    "citation": "citeAs",
    "version": "version",
    "date": "datePublished",
    "keywords": "keywords",
}
_TYPES = {pa.string(): "sc:Text", pa.int32(): "sc:Integer", pa.int64(): "sc:Integer", pa.float32(): "sc:Float"}
_MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


class Croissant(Exporter):
    """It takes nothing of a pick: selection.parquet has it all."""

    def add(self, pick: Pick) -> None:
        """See Exporter."""

    def finish(self) -> list[str]:
        """See Exporter."""
        known = self.shared.metadata
        content: dict[str, Any] = {
            "@context": _CONTEXT,
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": known.get("name", self.shared.title),
        }
        content |= {word: known[name] for name, word in _PROPERTIES.items() if name in known}
        content |= {name: [_person(one) for one in known[name]] for name in ("creator", "publisher") if name in known}
        content |= {"distribution": [], "recordSet": []}
        for files, records in (self._selection(), self._parquet(), self._images(), self._shards()):
            content["distribution"] += files
            content["recordSet"] += records
        text = json.dumps(content, indent=2) + "\n"
        (self.folder / FILE).write_text(text, encoding="utf-8")
        return [FILE]

    def _selection(self) -> tuple[list[Any], list[Any]]:
        path = self.folder / SELECTION_FILE
        stated = {"fileObject": {"@id": SELECTION_FILE}}
        columns = [_column("picks", field, stated) for field in pq.read_schema(path)]
        return [_file(path, SELECTION_FILE)], [_record_set("picks", columns)]

    def _parquet(self) -> tuple[list[Any], list[Any]]:
        paths = sorted(self.folder.glob("parquet/train-*.parquet"))
        if not paths:
            return [], []
        stated = {"fileSet": {"@id": "parquet-files"}}
        columns = [_column("rows", field, stated) for field in pq.read_schema(paths[0])]
        return [_file_set("parquet-files", "parquet/train-*.parquet", "application/x-parquet")], [
            _record_set("rows", columns)
        ]

    def _images(self) -> tuple[list[Any], list[Any]]:
        files, records = [], []
        for suffix, media in _MEDIA.items():
            if next(self.folder.glob(f"images/*/*.{suffix}"), None) is None:
                continue
            files.append(_file_set("image-files", f"images/*/*.{suffix}", media))
            fields = [
                _field(
                    "pictures/image", "sc:ImageObject", {"fileProperty": "content"}, {"fileSet": {"@id": "image-files"}}
                ),
                _field("pictures/path", "sc:Text", {"fileProperty": "fullpath"}, {"fileSet": {"@id": "image-files"}}),
            ]
            records.append(_record_set("pictures", fields))
        return files, records

    def _shards(self) -> tuple[list[Any], list[Any]]:
        if next(self.folder.glob("webdataset/train-*.tar"), None) is None:
            return [], []
        return [_file_set("webdataset-files", "webdataset/train-*.tar", "application/x-tar")], []


def _person(one: Mapping[str, str]) -> dict[str, str]:
    return {"@type": f"sc:{one['type']}"} | {name: text for name, text in one.items() if name != "type"}


def _file(path: Path, name: str) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stated = {"encodingFormat": "application/x-parquet", "sha256": digest}
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, **stated}


def _file_set(name: str, includes: str, media: str) -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": media, "includes": includes}


def _record_set(name: str, fields: list[Any]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _column(records: str, field: pa.Field, stated: Mapping[str, Any]) -> dict[str, Any]:
    name, image = f"{records}/{field.name}", pa.types.is_struct(field.type)
    transform = {"transform": {"jsonPath": "bytes"}} if image else {}
    kind = "sc:ImageObject" if image else _TYPES[field.type]
    return _field(name, kind, {"column": field.name}, {**stated, **transform})


def _field(name: str, kind: str, extract: Mapping[str, str], stated: Mapping[str, Any]) -> dict[str, Any]:
    source = {**stated, "extract": dict(extract)}
    return {"@type": "cr:Field", "@id": name, "name": name, "dataType": kind, "source": source}
