"""The store of scores: what was scored once is never scored again.

    store.json                     the fingerprint: what every row depends on
    data.json                      where the images lie, how labels are found, folder → class_id
    history.<time>.<id>.json       the record of a scoring run that did work
    listing.parquet                where the files of the data lie (see kept_listing.py)
    images/00000.parquet           stage I, one row per file of the data, and in 00000.<id>.npy mean delta maps, float16 [n, h, w]
    patches/00000.parquet          stage II, one row per patch, and in 00000.<id>.npy features, float16 [n, F]
    work/                          which shards are being scored, by whom (see claims.py)
    */summary.parquet              the rows of all shards in one table (see summary.py)

A shard is whole or absent, and stays as it was committed first (see commits.py). Several processes may write at once.
Boxes are pixels of the original image after EXIF rotation, those named window_canvas_* pixels of the canvas.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.errors import StoreError, UsageError
from selector.images.labels import Labels
from selector.images.listing import joined
from selector.images.locations import Data, data_at
from selector.records import PatchTable
from selector.store.commits import read_commit, read_json, read_rows, sweep, write_commit, write_json
from selector.store.features import CommittedVectors, StoredFeatures
from selector.store.fingerprint import Fingerprint, check_fingerprint, read_fingerprint, write_fingerprint
from selector.store.joining import OF_PATCHES, by_class, why_undescribed
from selector.store.schema import (
    IMAGE_SCHEMA,
    IMAGE_SUMMARY,
    PATCH_SCHEMA,
    PATCH_SUMMARY,
    ArrowTexts,
    ScoredImage,
    check_image_rows,
    conforming,
    ids_of,
    scored_image,
)
from selector.store.summary import Summary, committed, latest, stem, summary

DATA_FILE = "data.json"

_TEXTS = ("source", "image_id", "status", "reason")
_FOLDERS = ("images", "patches")
_OURS = re.compile(
    r"^((\d{5,}|listing|summary)\.parquet|\d{5,}(\.[0-9a-f]{32})?\.npy|server\.log.*|\.selector\.lock|orders|work)$"
    r"|\.[0-9a-f]{32}\.tmp$"
)
"""What may lie in a folder that is to become a store: what a run leaves that was ended before it had made one."""


@dataclass(frozen=True)
class DataRoot:
    """Where the scored images lie, the class_id of each class folder, how labels were found, and how many files of a class were
    asked for (0: all)."""

    root: Data
    folders: Mapping[str, int]
    labels: Labels = field(default_factory=Labels)
    limit_per_class: int = 0


@dataclass(frozen=True)
class Undescribed:
    """Images of a shard of stage I that are to be described. of: images of the shard."""

    shard: int
    images: tuple[ScoredImage, ...]
    of: int


class Store:
    """A store on disk. Different shards may be committed at the same time from threads and processes."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path = path
        self._fingerprint = fingerprint
        self._images, self._patches = path / "images", path / "patches"
        self._commit_of_images = lru_cache(maxsize=8)(lambda shard: read_commit(self._images, stem(shard)))

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
            shards = any(path.glob("images/*.parquet")) or any(path.glob("patches/*.parquet"))
            if shards and not cls.exists(path):  # by now
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

    def write_data_root(
        self, root: Data, folders: Mapping[str, int], labels: Labels | None = None, limit_per_class: int = 0
    ) -> None:
        """Notes what is to be scored: see DataRoot. Data may move; a folder that changes its class raises StoreError."""
        content: dict[str, Any] = {"root": str(root.resolve()), "folders": self.check_folders(folders)}
        more = {"labels": labels.stated() if labels else None, "limit_per_class": limit_per_class}
        write_json(self.path / DATA_FILE, content | {name: value for name, value in more.items() if value})

    def read_history(self) -> list[dict[str, Any]]:
        """One record for every scoring run that did work, the earliest first."""
        paths = sorted(self.path.glob("history.*json"), key=lambda path: (path.name != "history.json", path.name))
        return [run for path in paths for run in read_json(path)["runs"]]

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Adds the record of a scoring run; raises StoreError."""
        name = f"history.{time.time_ns():020d}.{uuid.uuid4().hex}.json"
        write_json(self.path / name, {"runs": [dict(record)]})

    def read_data_root(self) -> DataRoot:
        """Where the images lay when they were scored last; raises StoreError if that was never noted."""
        content = read_json(self.path / DATA_FILE)
        labels = Labels.of(content.get("labels", {}))
        return DataRoot(data_at(content["root"]), content["folders"], labels, content.get("limit_per_class", 0))

    def commit_images(self, shard: int, rows: pa.Table, maps: NDArray[np.float16]) -> bool:
        """Commits stage I of a shard: rows of IMAGE_SCHEMA, maps float16 [n, h, w] (zeros where not ok).

        False if the shard is committed already, which is kept. Raises ValueError for anything else, FileError if it can't be
        written.
        """
        table = conforming(rows, IMAGE_SCHEMA)
        if maps.dtype != np.float16 or maps.ndim != 3:
            raise ValueError(f"maps must be float16 [n, h, w], not {maps.dtype} {maps.shape}")
        check_image_rows(table)
        return write_commit(self._images, stem(shard), table, maps)

    def commit_patches(self, shard: int, rows: pa.Table, features: NDArray[np.float16]) -> bool:
        """Commits stage II of a shard: rows of PATCH_SCHEMA, features float16 [n, F].

        False if the shard is committed already, which is kept. Raises ValueError for anything else, FileError if it can't be
        written.
        """
        if features.dtype != np.float16 or features.ndim != 2:
            raise ValueError(f"features must be float16 [n, F], not {features.dtype} {features.shape}")
        return write_commit(self._patches, stem(shard), conforming(rows, PATCH_SCHEMA), features)

    def has(self, stage: str, shard: int) -> bool:
        """Whether the shard is committed. stage: "images" or "patches"."""
        return (self.path / stage / f"{stem(shard)}.parquet").exists()

    def committed_rows(self, stage: str, shard: int, *columns: str) -> pa.Table:
        """These columns of a committed shard. stage: as in `has`."""
        return read_rows(self.path / stage, stem(shard), list(columns))

    def sweep(self) -> None:
        """Removes what writers left that were killed more than a day ago."""
        for folder in (self.path, self._images, self._patches):
            sweep(folder)

    def image_shards(self) -> set[int]:
        """Shards whose stage I is committed."""
        return set(committed(self._images))

    def image_commits(self) -> list[tuple[tuple[int, ...], int]]:
        """Of every shard of stage I what tells its commit from another (size, mtime in ns, inode), and its rows."""
        return [(one.stamp, one.rows) for one in summary(self._images, IMAGE_SUMMARY, latest).commits.values()]

    def patch_shards(self) -> set[int]:
        """Shards whose stage II is committed."""
        return set(committed(self._patches))

    def images(self, *columns: str) -> pa.Table:
        """Stage I without its windows (IMAGE_SUMMARY, or these columns of it), sorted by source; of several rows of a file that
        of the last shard."""
        return summary(self._images, IMAGE_SUMMARY, latest).rows(*columns)

    def patches(self) -> Summary:
        """All rows of stage II (PATCH_SUMMARY), sorted by (class_id, image_id, patch_rank)."""
        return summary(self._patches, PATCH_SUMMARY, by_class)

    def described(self, images: pa.Table) -> pa.Array:
        """Of rows of `images()` why stage II has no features for them, "" if it has; null if it does not account for them."""
        return why_undescribed(images, self.patches().rows(*OF_PATCHES))[0]

    def image_record(self, shard: int, row: int) -> tuple[dict[str, Any], NDArray[np.float16]]:
        """A row of stage I (IMAGE_SCHEMA) and its map, float16 [h, w]."""
        rows, maps = self._commit_of_images(shard)
        return rows.slice(row, 1).to_pylist()[0], np.array(maps[row])

    def scored_images(self, shard: int) -> tuple[ScoredImage, ...]:
        """The shard's usable images with their windows, in committed order; failed and filtered files are left out."""
        if shard not in self.image_shards():
            return ()
        images = map(scored_image, read_rows(self._images, stem(shard)).to_pylist())
        return tuple(image for image in images if image)

    def undescribed(self, listed: pa.Array, again: pa.Array | None = None) -> list[Undescribed]:
        """The usable images of these sources that stage II does not account for yet, by shard; no shard without any.

        again: sources of images that are to be described anew. A row that a later shard stands for is left out.
        """
        made = summary(self._images, IMAGE_SUMMARY, latest)
        images = made.rows("source", "image_id", "status", "shard")
        left = pc.is_null(self.described(images))
        if again is not None:
            left = pc.or_(left, pc.is_in(images["source"], value_set=again))
        left = pc.and_(pc.and_(left, pc.equal(images["status"], "ok")), pc.is_in(images["source"], value_set=listed))
        wanted: dict[int, set[str]] = {}
        for row in images.filter(left).select(["shard", "source"]).to_pylist():
            wanted.setdefault(row["shard"], set()).add(row["source"])
        return [
            Undescribed(
                shard,
                tuple(image for image in self.scored_images(shard) if image.source in wanted[shard]),
                made.commits[shard].rows,
            )
            for shard in sorted(wanted)
        ]

    def read_patches(self) -> PatchTable:
        """All patches that did not fail, sorted by (class_id, image_id, patch_rank).

        Their features stay on disk until np.asarray reads them, which verifies the vectors' checksums.
        """
        made = self.patches()
        texts = made.rows("source", "image_id", "status")
        usable = np.flatnonzero(pc.equal(texts["status"], "ok").to_numpy())
        return self.patch_table(made, usable, ArrowTexts(joined(texts["source"]), usable), texts["image_id"])

    def patch_table(
        self, made: Summary, kept: NDArray[np.int64], sources: ArrowTexts, image_ids: pa.ChunkedArray
    ) -> PatchTable:
        """These patches of a summary. sources: one for each of them. image_ids: one for each of the summary's rows."""
        names = [name for name in PATCH_SUMMARY.names if name not in _TEXTS and name != "by_source"]
        commits = [CommittedVectors(stem(shard), one.rows, one.digest) for shard, one in made.commits.items()]
        numbers = np.fromiter(made.commits, np.int64, len(made.commits))
        columns = made.rows(*names)
        columns = {name: joined(columns[name]).to_numpy()[kept] for name in names}
        place = np.searchsorted(numbers, columns.pop("shard")).astype(np.int32)
        width = next(iter(made.commits.values())).width if made.commits else 0
        features = StoredFeatures(self._patches, tuple(commits), place, columns.pop("row"), width)
        return PatchTable(**columns, image_id=ids_of(image_ids)[kept], source=sources, features=features)

    def verify(self) -> None:
        """Reads every committed byte; raises StoreError naming the first damaged shard."""
        for folder in (self._images, self._patches):
            for shard in committed(folder):
                read_commit(folder, stem(shard), verify=True)
