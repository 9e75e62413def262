"""A data set that students learn in seconds: grey noise with one bright pattern of its class at a true box."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from selector.images.datasets import Reader, list_items
from selector.images.readers import image_id
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA
from selector.store.store import Store

CLASSES = ("bars", "checks", "stripes")
SIDE, WINDOW = 32, 16


def picture(class_id: int, draw: np.random.Generator) -> tuple[NDArray[np.uint8], int, int]:
    """uint8 [32, 32] and the top and left of its 16 px object."""
    image = draw.integers(0, 60, (SIDE, SIDE))
    top, left = (int(x) for x in draw.integers(SIDE - WINDOW + 1, size=2))
    rows, columns = np.indices((WINDOW, WINDOW)) // 4
    pattern = (rows, rows + columns, columns)[class_id] % 2
    image[top : top + WINDOW, left : left + WINDOW] = 80 + 150 * pattern + draw.integers(0, 20, (WINDOW, WINDOW))
    return image.astype(np.uint8), top, left


def write_data(out: Path, per_class: int, seed: int, *, boxes: bool = True) -> Path:
    """A tar of class folders with boxes.csv."""
    draw = np.random.default_rng(seed)
    members, lines = [], ["path,top,left,height,width"]
    for class_id, name in enumerate(CLASSES):
        for number in range(per_class):
            image, top, left = picture(class_id, draw)
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, format="PNG")
            members.append((f"{name}/{number:03d}.png", buffer.getvalue()))
            lines.append(f"{members[-1][0]},{top},{left},{WINDOW},{WINDOW}")
    if boxes:
        members.append(("boxes.csv", "\n".join(lines).encode()))
    with tarfile.open(out, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out


def write_store(out: Path, data: Path, class_ids: tuple[int, ...] = (0, 1, 2)) -> Path:
    """A store that says the images' top left 16 px are their best windows. class_ids: the pipeline's, of CLASSES."""
    rows, vectors = [], np.random.default_rng(0).normal(size=(len(list_items(data)), 24))
    with Reader(list_items(data)) as reader:
        for source, folder in list_items(data).pairs():
            known = {
                "image_id": image_id(reader.read(source)),
                "source": source,
                "class_id": class_ids[CLASSES.index(folder)],
                "status": "ok",
                "reason": "",
                "draws": 4,
                "typicality": 0.1,
                "standard_error": 0.01,
            }
            rows.append(known | {"patch_rank": 0, "top": 0, "left": 0, "height": WINDOW, "width": WINDOW})
    names = [f"other {number}" for number in range(class_ids[-1] + 1)]
    for name, number in zip(CLASSES, class_ids, strict=True):
        names[number] = name
    mark = {"draws": 4, "classes": names, "window_px": WINDOW, "resolution": SIDE, "pipeline": "a test's"}
    store = Store.create_or_open(out, mark)
    store.write_data_root(data, dict(zip(CLASSES, class_ids, strict=True)))
    store.commit_images(
        0,
        pa.Table.from_pylist([_image_row(row) for row in rows], IMAGE_SCHEMA),
        np.zeros((len(rows), 8, 8), np.float16),
    )
    features = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    store.commit_patches(0, pa.Table.from_pylist(rows, PATCH_SCHEMA), features)
    return out


def _image_row(row: dict[str, object]) -> dict[str, object]:
    windows = {name: [0] for name in IMAGE_SCHEMA.names if name.startswith("window_")}
    stamp = {"size": 1, "mtime_ns": 1}
    lists = {"typicality": [row["typicality"]], "standard_error": [row["standard_error"]]}
    return {
        **row,
        **windows,
        **lists,
        "losses_prompt": [0.0],
        "losses_reference": [0.0],
        "height": SIDE,
        "width": SIDE,
        **stamp,
    }
