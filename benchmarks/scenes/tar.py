"""Scenes as a tar: `<class>/<00000>.png` and `boxes.csv`, written the same every time, and read back.

Owns the layout of the tar. Must not know how scenes are made.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scenes.items import CLASS_NAMES
from benchmarks.scenes.scenes import Scenes


def write_tar(scenes: Scenes, out: Path, class_names: Sequence[str] = CLASS_NAMES) -> None:
    """`<class>/<00000>.png` and `boxes.csv`, sorted, without times or owners: equal scenes give equal members."""
    rows = ["path,top,left,height,width,decoy"]
    members: list[tuple[str, bytes]] = []
    seen = dict.fromkeys(range(len(class_names)), 0)
    for i, label in enumerate(scenes.labels.tolist()):
        path = f"{class_names[label]}/{seen[label]:05d}.png"
        seen[label] += 1
        buffer = io.BytesIO()
        Image.fromarray(scenes.images[i]).save(buffer, format="PNG", optimize=True)
        members.append((path, buffer.getvalue()))
        box = f"{scenes.tops[i]},{scenes.lefts[i]},{scenes.sides[i]},{scenes.sides[i]}"
        rows.append(f"{path},{box},{int(scenes.decoys[i])}")
    members.append(("boxes.csv", ("\n".join([rows[0], *sorted(rows[1:])]) + "\n").encode()))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(members):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(content))
    part.replace(out)


def read_tar(path: Path, class_names: Sequence[str] = CLASS_NAMES) -> Scenes:
    """The scenes of a tar, class by class in the order of `class_names`. Raises KeyError without boxes.csv."""
    with tarfile.open(path) as tar:
        contents = {member.name: _read(tar, member) for member in tar.getmembers() if member.isfile()}
    rows = list(csv.DictReader(io.StringIO(contents["boxes.csv"].decode())))
    names = list(class_names)
    labels = [names.index(row["path"].split("/")[0]) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (labels[i], rows[i]["path"]))
    rows = [rows[i] for i in order]
    return Scenes(
        np.stack([np.asarray(Image.open(io.BytesIO(contents[row["path"]]))) for row in rows]),
        np.array([labels[i] for i in order], dtype=np.int64),
        np.array([int(row["top"]) for row in rows], dtype=np.int64),
        np.array([int(row["left"]) for row in rows], dtype=np.int64),
        np.array([row["decoy"] == "1" for row in rows]),
        np.array([int(row["height"]) for row in rows], dtype=np.int64),
    )


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(f"{member.name} is not a file")
    return stream.read()
