"""A data set of ImageNet's size and a store that says that it was scored, without a scored image.

Owns how they are made. Must not know what is measured on them. Every image is one small PNG with its number behind it, so that no
two are the same bytes; features lie around some directions, as in synthetic_store.py.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.selection.synthetic_store import synthetic_class
from selector.images.readers import image_id
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA, conforming
from selector.store.store import Store

IMAGENET_IMAGES, IMAGENET_CLASSES = 1_281_167, 1_000
SIDE = 64
_WINDOW = 28
_SHARD = 256
_MAP = (4, 4)


@dataclass(frozen=True)
class Size:
    """How many classes there are, how many images of each, and how many numbers a feature has."""

    classes: int
    images: int
    width: int

    def of_class(self, number: int) -> int:
        """Images of a class; the first ones have one more where they do not divide."""
        return self.images // self.classes + (number < self.images % self.classes)


def class_name(number: int) -> str:
    """Name and folder of a class, as ImageNet's are."""
    return f"n{number:08d}"


def picture(number: int) -> bytes:
    """A PNG of SIDE pixels; its number stands behind its end, where no decoder looks."""
    return _picture() + number.to_bytes(8, "big")


def _picture() -> bytes:
    if not _CACHE:
        file = io.BytesIO()
        pixels = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
        Image.fromarray(pixels).save(file, format="PNG")
        _CACHE.append(file.getvalue())
    return _CACHE[0]


_CACHE: list[bytes] = []


def write_tar(path: Path, size: Size, classes: range) -> None:
    """An uncompressed tar of class folders."""
    first = sum(size.of_class(number) for number in range(classes.start))
    with tarfile.open(path, "w") as tar:
        for number in classes:
            for place in range(size.of_class(number)):
                content = picture(first + place)
                member = tarfile.TarInfo(f"{class_name(number)}/{place:05d}.png")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            first += size.of_class(number)


def write_shards(root: Path, size: Size) -> None:
    """A folder of uncompressed tars as the webdataset library reads them, a class in each."""
    root.mkdir(parents=True)
    for number in range(size.classes):
        write_tar(root / shard_name(number), size, range(number, number + 1))


def shard_name(number: int) -> str:
    """The name of a class's shard."""
    return f"train-{number:05d}.tar"


def write_folders(root: Path, size: Size) -> None:
    """A folder of class folders, a file for every image."""
    first = 0
    for number in range(size.classes):
        folder = root / class_name(number)
        folder.mkdir(parents=True)
        for place in range(size.of_class(number)):
            (folder / f"{place:05d}.png").write_bytes(picture(first + place))
        first += size.of_class(number)


def write_store(folder: Path, data: Path, size: Size) -> Store:
    """A store of all images of `data`, a tar or a folder of shards."""
    names = [class_name(number) for number in range(size.classes)]
    store = Store.create_or_open(folder, _fingerprint(names, size))
    store.write_data_root(data, {name: number for number, name in enumerate(names)})
    shard, rows, vectors = 0, pa.Table.from_pylist([], PATCH_SCHEMA), np.empty((0, size.width), np.float16)
    for patches, features in _classes(size, data.is_dir()):
        rows, vectors = pa.concat_tables([rows, patches]), np.concatenate([vectors, features])
        while len(rows) >= _SHARD:
            _commit(store, shard, rows.slice(0, _SHARD), vectors[:_SHARD])
            rows, vectors, shard = rows.slice(_SHARD), vectors[_SHARD:], shard + 1
    if len(rows):
        _commit(store, shard, rows, vectors)
    return store


def _classes(size: Size, in_shards: bool) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Rows of stage II and features, class by class."""
    first = 0
    for number in range(size.classes):
        count = size.of_class(number)
        table = synthetic_class(count, size.width, number)
        before = f"{shard_name(number)}#" if in_shards else ""
        columns = {
            "image_id": [image_id(picture(first + place)) for place in range(count)],
            "source": [f"{before}{class_name(number)}/{place:05d}.png" for place in range(count)],
            "class_id": table.class_id,
            "patch_rank": table.patch_rank,
            "top": np.full(count, 8, np.int32),
            "left": np.full(count, 16, np.int32),
            "height": np.full(count, _WINDOW, np.int32),
            "width": np.full(count, _WINDOW, np.int32),
            "typicality": table.typicality,
            "standard_error": table.standard_error,
            "draws": np.full(count, 5, np.int32),
            "status": ["ok"] * count,
            "reason": [""] * count,
        }
        yield pa.table(columns, schema=PATCH_SCHEMA), np.asarray(table.features)
        first += count


def _commit(store: Store, shard: int, patches: pa.Table, vectors: np.ndarray) -> None:
    count = len(patches)

    def each(values: list[float]) -> pa.Array:
        return pa.array([values] * count)

    own = {name: patches[name] for name in ("image_id", "source", "class_id", "status", "reason", "draws")}
    boxes = {"top": 8, "left": 16, "height": _WINDOW, "width": _WINDOW}
    windows = {f"{kind}_{name}": each([value]) for kind in ("window", "window_canvas") for name, value in boxes.items()}
    columns = {
        **own,
        **windows,
        "size": np.full(count, len(picture(0)), np.int64),
        "mtime_ns": np.zeros(count, np.int64),
        "losses_prompt": each([0.5] * 5),
        "losses_reference": each([0.5] * 5),
        "height": np.full(count, SIDE, np.int32),
        "width": np.full(count, SIDE, np.int32),
        "typicality": pa.array([[value] for value in patches["typicality"].to_pylist()]),
        "standard_error": each([0.004]),
    }
    store.commit_images(shard, conforming(pa.table(columns), IMAGE_SCHEMA), np.zeros((count, *_MAP), np.float16))
    store.commit_patches(shard, patches, vectors)


def _fingerprint(names: list[str], size: Size) -> dict[str, object]:
    return {
        "pipeline": "synthetic",
        "classes": names,
        "rule": "rotating",
        "draws": 5,
        "resolution": SIDE,
        "window_px": _WINDOW,
        "stride_px": 4,
        "fit": "crop",
        "dift": f"{size.width} synthetic numbers",
        "precision": "fp32",
        "prior_weight": 0.0,
    }
