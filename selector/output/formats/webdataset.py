"""webdataset/train-00000.tar, …: shards of samples of three files, KEY.png (or .jpg, .webp), KEY.cls and KEY.json."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from selector.output.formats.exporter import Exporter, HandedOut
from selector.output.picks import Pick
from selector.output.pictures import SUFFIXES

FOLDER = "webdataset"
SHARD_BYTES = 1 << 28
SHARD_PICKS = 10_000
"""A shard ends with the pick that reaches one of both."""


class WebDataset(Exporter):
    """.cls is the class's index; .json has its label and the facts of the pick."""

    pictures = True

    def __init__(self, folder: Path, shared: HandedOut) -> None:
        super().__init__(folder, shared)
        self._tar: tarfile.TarFile | None = None
        self._picks = 0
        self._files: list[str] = []

    def add(self, pick: Pick) -> None:
        """See Exporter."""
        tar = self._tar or self._next()
        facts = {"label": pick.of.label, "class_index": pick.of.index, **pick.facts()}
        _add(tar, pick.key + SUFFIXES[self.shared.image_format], pick.picture)
        _add(tar, f"{pick.key}.cls", str(pick.of.index).encode())
        _add(tar, f"{pick.key}.json", json.dumps(facts, ensure_ascii=False).encode())
        self._picks += 1
        if self._picks == SHARD_PICKS or tar.offset >= SHARD_BYTES:
            self.close()

    def finish(self) -> list[str]:
        """See Exporter."""
        if not self._files:
            self._next()
        self.close()
        return self._files

    def close(self) -> None:
        """See Exporter."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def _next(self) -> tarfile.TarFile:
        self._files.append(f"{FOLDER}/train-{len(self._files):05d}.tar")
        self._picks = 0
        path = self.folder / self._files[-1]
        path.parent.mkdir(exist_ok=True)
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  # closed by close()
        return self._tar


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
