"""Images that a list names: a CSV, JSONL or Parquet file of paths and labels, relative to the folder of the data."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selector.errors import UsageError
from selector.images.exclusion import Exclusion
from selector.images.labels import LABEL_KEYS, Labels, label_text
from selector.images.recognition import IMAGE_SUFFIXES, suffix_of
from selector.images.sources.source import Found, is_text, stamp_of

LISTS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Lists that a folder without class folders may hold."""

_PATHS = ("file_name", "path")


class ListSource:
    """The files that a list names. It is one part."""

    def __init__(self, root: Path, path: Path, labels: Labels, exclusion: Exclusion) -> None:
        """path: the list. Where it lies in the data as one of LISTS, images beside the listed ones are told as lost."""
        self._root, self._path, self._labels, self._exclusion = root, path, labels, exclusion
        self._whole = path.parent.resolve() == root.resolve() and path.name in LISTS

    def parts(self) -> list[str]:
        """See Source."""
        return [self._path.name]

    def find(self, part: str) -> Found:  # noqa: ARG002  # it has one part
        """See Source."""
        found = Found("folder", str(self._root.absolute()))
        found.stamps[str(self._path.absolute())] = stamp_of(str(self._path))
        label_of: dict[str, str] = {}
        for number, path, value in _rows(self._path, self._labels):
            source = self._plain(path, number)
            row = f"{self._path.name}#{number}"
            try:
                label = "" if self._labels.unlabelled else label_text(value)
            except ValueError as error:
                found.lose(row, f"{source}: {error}")
                continue
            if not label and not self._labels.unlabelled:
                found.lose(row, f"{source}: without a label")
            elif source not in label_of:
                label_of[source] = label
            elif label_of[source] != label:
                raise UsageError(
                    f"{self._path}, row {number}: {source} is {label!r} here and {label_of[source]!r} before: "
                    "one image has one label"
                )
            else:
                found.skip(row, f"{source} is listed before, with the same label")
        self._take(label_of, found)
        return found

    def _take(self, label_of: dict[str, str], found: Found) -> None:
        folders = dict[str, set[str]]()
        for source, label in label_of.items():
            above = source.rpartition("/")[0]
            if above not in folders:
                folders[above] = self._files(above, found)
            pattern = self._exclusion.matching(source, source.rpartition("/")[2])
            if pattern:
                found.skip(source, f"excluded by --exclude {pattern}")
            elif source.rpartition("/")[2] not in folders[above]:
                found.lose(source, f"{self._path.name} names it, and there is no such file")
            else:
                found.sources.append(source)
                found.folders.append(label)
        found.classes.update(label_of.values())
        if self._whole:
            for above, names in folders.items():
                for name in sorted(names):
                    source = f"{above}/{name}" if above else name
                    if source not in label_of and suffix_of(name) in IMAGE_SUFFIXES:
                        reason = f"an image that {self._path.name} does not name"
                        found.lose(source, reason if is_text(source) else "the name is not valid UTF-8: rename it")

    def _files(self, folder: str, found: Found) -> set[str]:
        """The names of files in a folder of the data; its stamp is noted."""
        place = (self._root / folder).absolute()
        try:
            found.stamps[str(place)] = place.stat().st_mtime_ns
            with os.scandir(place) as entries:
                return {entry.name for entry in entries if entry.is_file() or entry.is_symlink()}
        except OSError:
            found.stamps[str(place)] = None
            return set()

    def _plain(self, path: Any, number: int) -> str:
        """A path of the list as a source; raises UsageError for one that leads out of the data."""
        where = f"{self._path}, row {number}"
        if not isinstance(path, str) or not path.strip():
            raise UsageError(f"{where}: expected the path of an image, got {path!r}")
        plain = PurePosixPath(path.strip().replace("\\", "/"))
        if plain.is_absolute() or ".." in plain.parts or plain.parts[:1] == ("C:",):
            raise UsageError(
                f"{where}: {path} must be a path below the data ({self._root}), neither absolute nor with .."
            )
        return plain.as_posix()


def found_list(names: set[str], root: Path) -> Path | None:
    """The list that a folder with these files holds; raises UsageError if there are several."""
    lists = [name for name in LISTS if name in names]
    if len(lists) > 1:
        raise UsageError(f"{root} holds several lists ({', '.join(lists)}): name one with --list")
    return root / lists[0] if lists else None


def _rows(path: Path, labels: Labels) -> Iterator[tuple[int, Any, Any]]:
    """(row number as the file counts from 1, path, label) of every row; raises UsageError, OSError."""
    suffix = suffix_of(path.name)
    if suffix == "parquet":
        yield from _parquet_rows(path, labels)
        return
    if suffix not in ("csv", "tsv", "jsonl", "json", "ndjson"):
        raise UsageError(f"{path}: a list is a .csv, .jsonl or .parquet file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _csv_rows(path, file, labels) if suffix in ("csv", "tsv") else _json_rows(path, file, labels)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} can't be read as a list in UTF-8: {error}") from error


def _csv_rows(path: Path, file: Any, labels: Labels) -> Iterator[tuple[int, Any, Any]]:
    rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", skipinitialspace=True)
    where, label = _columns(path, [name.strip() for name in rows.fieldnames or ()], labels)
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    for number, row in enumerate(rows, 2):  # the first row is the header
        yield number, row[where], row[label]


def _json_rows(path: Path, file: Any, labels: Labels) -> Iterator[tuple[int, Any, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}, row {number}: no JSON object on one line ({error})") from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}, row {number}: expected a JSON object, got {line.strip():.50}")
        where = _columns(path, [*row, *labels.keys], labels)[0]
        yield number, row[where], next((row[key] for key in labels.keys if key in row), None)


def _parquet_rows(path: Path, labels: Labels) -> Iterator[tuple[int, Any, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            where, label = _columns(path, file.schema_arrow.names, labels)
            table = file.read(list(dict.fromkeys((where, label))))
    except pa.ArrowException as error:
        raise UsageError(f"{path} can't be read as a Parquet file: {error}") from error
    yield from zip(range(len(table)), table[where].to_pylist(), table[label].to_pylist(), strict=True)


def _columns(path: Path, names: list[str], labels: Labels) -> tuple[str, str]:
    """The columns of paths and of labels; raises UsageError if there are none."""
    where = next((name for name in _PATHS if name in names), None)
    label = where if labels.unlabelled else next((name for name in labels.keys if name in names), None)
    if where is None or label is None:
        wanted = labels.label_key or f"{', '.join(LABEL_KEYS[:-1])} or {LABEL_KEYS[-1]}"
        raise UsageError(
            f"{path} needs the columns {' or '.join(_PATHS)}, and {wanted} (another is named with --label-key); "
            f"it has {', '.join(names) or 'none'}"
        )
    return where, label
