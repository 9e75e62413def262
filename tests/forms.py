"""One small data set of three classes, written in every form that is read, by the libraries that people write them with."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("bee", "cup", "kite")
"""Those of tests.tiny_pipeline."""


def pictures(count: int = 12, side: int = 24, seed: int = 0) -> dict[str, bytes]:
    """`<class>/<number>.png` → content; none like another."""
    rng = np.random.default_rng(seed)
    made = {}
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG", compress_level=1)
        made[f"{CLASSES[number % len(CLASSES)]}/{number:06d}.png"] = file.getvalue()
    return made


def labelled(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """(number, class, content)."""
    for name, content in files.items():
        yield name.partition("/")[2].removesuffix(".png"), name.partition("/")[0], content


def as_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def as_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def as_shards(root: Path, files: Mapping[str, bytes], style: str, most: int = 5) -> Path:
    """style: "cls" for positions of classes, "text" for names in .cls, "json" for names in .json."""
    import webdataset

    root.mkdir(parents=True)
    with webdataset.ShardWriter(str(root / "train-%05d.tar"), maxcount=most, verbose=0) as shards:
        for number, label, content in labelled(files):
            sample: dict[str, object] = {"__key__": number, "png": content}
            if style == "cls":
                sample["cls"] = CLASSES.index(label)
            elif style == "text":
                sample["cls"] = label.encode()
            else:
                sample |= {"json": {"label": label, "width": 24}, "txt": f"a {label}"}
            shards.write(sample)
    return root


def as_parquet(
    root: Path, files: Mapping[str, bytes], datasets: ModuleType | None = None, most: int = 5, group: int = 2
) -> Path:
    """datasets: the library, to write with Image and ClassLabel; without it, a binary column and texts."""
    root.mkdir(parents=True)
    rows = list(labelled(files))
    for part, start in enumerate(range(0, len(rows), most)):
        path = root / f"train-{part:05d}-of-{-(-len(rows) // most):05d}.parquet"
        some = rows[start : start + most]
        if datasets is None:
            table = pa.table({"id": [r[0] for r in some], "image": [r[2] for r in some], "label": [r[1] for r in some]})
            pq.write_table(table, path, row_group_size=group)
        else:
            features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
            columns = {
                "image": [{"bytes": content, "path": f"{number}.png"} for number, _, content in some],
                "label": [label for _, label, _ in some],
            }
            datasets.Dataset.from_dict(columns, features=features).to_parquet(path, batch_size=group)
    return root


def as_list(root: Path, files: Mapping[str, bytes], kind: str = "csv") -> Path:
    """A flat folder with metadata.csv or metadata.jsonl, as the imagefolder of `datasets` has it."""
    root.mkdir(parents=True)
    rows = []
    for number, label, content in labelled(files):
        (root / f"{number}.png").write_bytes(content)
        rows.append({"file_name": f"{number}.png", "label": label})
    if kind == "jsonl":
        (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with (root / "metadata.csv").open(
            "w", encoding="utf-8-sig", newline=""
        ) as file:  # BOM and CRLF, as Excel has it
            table = csv.DictWriter(file, ["file_name", "label"])
            table.writeheader()
            table.writerows(rows)
    return root


def in_every_form(root: Path, files: Mapping[str, bytes], datasets: ModuleType) -> dict[str, Path]:
    """Name of the form → DATA, all on disk."""
    return {
        "folder": as_folder(root / "folder", files),
        "tar": as_tar(root / "data.tar", files),
        "zip": as_zip(root / "data.zip", files),
        "shards, positions": as_shards(root / "positions", files, "cls"),
        "shards, texts": as_shards(root / "texts", files, "text"),
        "shards, json": as_shards(root / "json", files, "json"),
        "parquet of datasets": as_parquet(root / "hub", files, datasets),
        "plain parquet": as_parquet(root / "plain", files),
        "csv": as_list(root / "csv", files),
        "jsonl": as_list(root / "jsonl", files, "jsonl"),
    }
