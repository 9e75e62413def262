"""The store of scores: what was scored once is never scored again.

    store.json                     the fingerprint: what every row depends on
    data.json                      where the images lie, folder → class_id
    history.json                   a record for every scoring run that did work
    images/00000.{parquet,npy}     stage I, one row per file of the data; mean delta maps, float16 [n, h, w]
    patches/00000.{parquet,npy}    stage II, one row per patch; features, float16 [n, F]

A shard is whole or absent (see commits.py). Shard numbers are the caller's; committing one again replaces it.
Boxes are pixels of the original image after EXIF rotation, those named window_canvas_* pixels of the canvas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.errors import StoreError, UsageError
from selector.records import PatchTable
from selector.store.commits import committed_vectors, read_commit, read_json, read_rows, write_commit, write_json
from selector.store.features import CommittedVectors, StoredFeatures
from selector.store.fingerprint import Fingerprint, check_fingerprint, read_fingerprint, write_fingerprint
from selector.store.schema import (
    IMAGE_SCHEMA,
    PATCH_SCHEMA,
    ScoredImage,
    check_image_rows,
    conforming,
    patch_table,
    scored_image,
)

DATA_FILE, HISTORY_FILE = "data.json", "history.json"

_FOLDERS = ("images", "patches")
_OURS = re.compile(r"^(\d{5,}\.(npy|parquet)|server\.log.*|\.selector\.lock|orders)$|\.[0-9a-f]{32}\.tmp$")
"""What may lie in a folder that is to become a store: what a run leaves that was ended before it had made one."""

_READERS = 4
"""Threads that read the Parquet files of many shards; half of that is spent outside of Python."""


@dataclass(frozen=True)
class DataRoot:
    """Where the scored images lie, and the class_id of each class folder."""

    root: Path
    folders: Mapping[str, int]


@dataclass(frozen=True)
class Undescribed:
    """Images of a shard of stage I that are to be described. of: images of the shard."""

    shard: int
    images: tuple[ScoredImage, ...]
    of: int


class StoredMaps:
    """Mean delta maps float16 [h, w] by row number of `Store.read_images`; one shard is mapped at a time."""

    def __init__(self, folder: Path, stems: list[str], lengths: list[int]) -> None:
        self._folder, self._stems = folder, stems
        self._ends = np.cumsum([0, *lengths])
        self._open: tuple[int, NDArray[np.float16]] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> NDArray[np.float16]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        shard = int(np.searchsorted(self._ends, row, side="right")) - 1
        if self._open is None or self._open[0] != shard:
            self._open = shard, read_commit(self._folder, self._stems[shard])[1]
        return np.array(self._open[1][row - int(self._ends[shard])])


class Store:
    """A store on disk. Different shards may be committed at the same time from threads and processes."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path = path
        self._fingerprint = fingerprint
        self._images, self._patches = path / "images", path / "patches"

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Whether there is a store at the path, of whatever configuration."""
        return (path / "store.json").is_file()

    @staticmethod
    def refuse_foreign(path: Path) -> None:
        """Raises UsageError if something lies at the path that no store is made of."""
        if Store.exists(path) or not os.path.lexists(path):
            return
        if not path.is_dir():
            raise UsageError(f"{path} is no folder: name another place for the store")
        shards = [name for folder in _FOLDERS for name in (path / folder).glob("*") if not _OURS.search(name.name)]
        foreign = sorted(e.name for e in path.iterdir() if e.name not in _FOLDERS and not _OURS.search(e.name))
        foreign += [f"{name.parent.name}/{name.name}" for name in shards]
        if foreign:
            raise UsageError(
                f"{path} holds what no store is made of ({', '.join(foreign[:3])}): name another folder for it"
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """The store at the path as it is; raises StoreError if there is none or its layout is another."""
        return cls(path, read_fingerprint(path))

    @classmethod
    def create_or_open(cls, path: Path, fingerprint: Fingerprint) -> Self:
        """The store of this fingerprint, made if there is none; raises StoreError that names what differs."""
        if not cls.exists(path):
            if any(path.glob("images/*.parquet")) or any(path.glob("patches/*.parquet")):
                raise StoreError(f"{path} holds shards but no store.json: delete it or use another folder")
            for folder in _FOLDERS:
                (path / folder).mkdir(parents=True, exist_ok=True)
            write_fingerprint(path, fingerprint)
        store = cls.open(path)
        check_fingerprint(path, store._fingerprint, fingerprint)
        return store

    def read_fingerprint(self) -> dict[str, Any]:
        """What the rows of this store depend on."""
        return dict(self._fingerprint)

    def check_folders(self, folders: Mapping[str, int]) -> dict[str, int]:
        """All folders that the store knows of and these, with their class_ids; StoreError if one changes its class."""
        known = dict(self.read_data_root().folders) if (self.path / DATA_FILE).exists() else {}
        classes = self._fingerprint.get("classes", ())
        for folder, class_id in folders.items():
            before = known.setdefault(folder, class_id)
            if before != class_id:
                was, now = (classes[c] if c < len(classes) else f"class_id {c}" for c in (before, class_id))
                raise StoreError(
                    f"{self.path} was scored with the folder {folder!r} as {was!r}, now it is {now!r}: name the same "
                    "--class-names, or use another store for another mapping of folders to classes"
                )
        return known

    def write_data_root(self, root: Path, folders: Mapping[str, int]) -> None:
        """Notes where the images lie. Data may move; a folder that changes its class raises StoreError."""
        known = self.check_folders(folders)
        write_json(self.path / DATA_FILE, {"root": str(root.resolve()), "folders": known})

    def read_history(self) -> list[dict[str, Any]]:
        """One record for every scoring run that did work, the earliest first."""
        path = self.path / HISTORY_FILE
        return list(read_json(path)["runs"]) if path.exists() else []

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Adds the record of a scoring run; raises StoreError."""
        write_json(self.path / HISTORY_FILE, {"runs": [*self.read_history(), dict(record)]})

    def read_data_root(self) -> DataRoot:
        """Where the images lay when they were scored last; raises StoreError if that was never noted."""
        content = read_json(self.path / DATA_FILE)
        return DataRoot(Path(content["root"]), content["folders"])

    def commit_images(self, shard: int, rows: pa.Table, maps: NDArray[np.float16]) -> None:
        """Commits stage I of a shard: rows of IMAGE_SCHEMA, maps float16 [n, h, w] (zeros where not ok).

        Raises ValueError for anything else, FileError if it can't be written.
        """
        table = conforming(rows, IMAGE_SCHEMA)
        if maps.dtype != np.float16 or maps.ndim != 3:
            raise ValueError(f"maps must be float16 [n, h, w], not {maps.dtype} {maps.shape}")
        check_image_rows(table)
        write_commit(self._images, _stem(shard), table, maps)

    def commit_patches(self, shard: int, rows: pa.Table, features: NDArray[np.float16]) -> None:
        """Commits stage II of a shard: rows of PATCH_SCHEMA, features float16 [n, F].

        Raises ValueError for anything else, FileError if it can't be written.
        """
        if features.dtype != np.float16 or features.ndim != 2:
            raise ValueError(f"features must be float16 [n, F], not {features.dtype} {features.shape}")
        write_commit(self._patches, _stem(shard), conforming(rows, PATCH_SCHEMA), features)

    def image_shards(self) -> set[int]:
        """Shards whose stage I is committed."""
        return _committed(self._images)

    def patch_shards(self) -> set[int]:
        """Shards whose stage II is committed."""
        return _committed(self._patches)

    def image_records(self, columns: list[str]) -> list[dict[str, Any]]:
        """These columns of stage I, one record per file; a later shard stands for an earlier one."""
        latest: dict[str, dict[str, Any]] = {}
        for shard in sorted(self.image_shards()):
            rows = read_rows(self._images, _stem(shard), sorted({*columns, "source"}))
            latest.update((row["source"], {name: row[name] for name in columns}) for row in rows.to_pylist())
        return list(latest.values())

    def described(self) -> dict[tuple[str, str], str]:
        """(source, image_id) of every image that stage II accounts for → why it failed, "" if it has its features."""
        found: dict[tuple[str, str], str] = {}
        for shard in sorted(self.patch_shards()):
            for row in read_rows(self._patches, _stem(shard), ["source", "image_id", "status", "reason"]).to_pylist():
                found[row["source"], row["image_id"]] = "" if row["status"] == "ok" else row["reason"]
        return found

    def scored_images(self, shard: int) -> tuple[ScoredImage, ...]:
        """The shard's usable images with their windows, in committed order; failed and filtered files are left out."""
        if shard not in self.image_shards():
            return ()
        images = map(scored_image, read_rows(self._images, _stem(shard)).to_pylist())
        return tuple(image for image in images if image)

    def undescribed(self, listed: Collection[str], again: Collection[tuple[str, str]] = ()) -> list[Undescribed]:
        """The usable images of these sources that stage II does not account for yet, by shard; no shard without any.

        again: (source, image_id) of images that are to be described anew. A row that a later shard stands for is left out.
        """
        latest = {row["source"]: row["image_id"] for row in self.image_records(["source", "image_id"])}
        done, listed = self.described().keys() - set(again), set(listed)
        found = []
        for shard in sorted(self.image_shards()):
            rows = read_rows(self._images, _stem(shard), ["source", "image_id", "status"]).to_pylist()
            if any(row["status"] == "ok" and (row["source"], row["image_id"]) not in done for row in rows):
                current = (i for i in self.scored_images(shard) if latest[i.source] == i.image_id)
                left = [i for i in current if i.source in listed and (i.source, i.image_id) not in done]
                found += [Undescribed(shard, tuple(left), len(rows))] if left else []
        return found

    def read_images(self) -> tuple[pa.Table, StoredMaps]:
        """All rows of stage I (IMAGE_SCHEMA and int32 shard) sorted by shard, and their maps."""
        shards = sorted(self.image_shards())
        tables = [IMAGE_SCHEMA.empty_table()]
        tables += [conforming(read_rows(self._images, _stem(shard)), IMAGE_SCHEMA) for shard in shards]
        lengths = [len(table) for table in tables[1:]]
        numbers = np.repeat(np.asarray(shards, np.int32), lengths)
        rows = pa.concat_tables(tables).append_column("shard", pa.array(numbers))
        return rows, StoredMaps(self._images, [_stem(shard) for shard in shards], lengths)

    def read_patches(self) -> PatchTable:
        """All patches that did not fail, sorted by (class_id, image_id, patch_rank).

        Their features stay on disk until np.asarray reads them, which verifies the vectors' checksums.
        """
        tables, commits, width = [PATCH_SCHEMA.empty_table()], [], 0
        stems = [_stem(shard) for shard in sorted(self.patch_shards())]
        with ThreadPoolExecutor(_READERS) as pool:
            read = list(pool.map(partial(read_rows, self._patches), stems))
        for stem, rows in zip(stems, read, strict=True):
            numbers, digest = committed_vectors(self._patches, stem, rows)
            if width and numbers != width:
                raise StoreError(f"{self._patches / stem} has features of {numbers} numbers, others {width}")
            width = numbers
            commits.append(CommittedVectors(stem, len(rows), digest))
            tables.append(conforming(rows, PATCH_SCHEMA))
        return patch_table(pa.concat_tables(tables), StoredFeatures.of(self._patches, commits, width))

    def verify(self) -> None:
        """Reads every committed byte; raises StoreError naming the first damaged shard."""
        for folder in (self._images, self._patches):
            for shard in sorted(_committed(folder)):
                read_commit(folder, _stem(shard), verify=True)


def _stem(shard: int) -> str:
    return f"{shard:05d}"


def _committed(folder: Path) -> set[int]:
    found = (re.fullmatch(r"(\d{5,})\.parquet", path.name) for path in folder.glob("*.parquet"))
    return {int(match[1]) for match in found if match}
