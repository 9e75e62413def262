"""list/picks.csv: the picks as rows of source, label, box and rank. list/image_ids.txt: their images, sorted, one a line."""

from __future__ import annotations

import csv
from pathlib import Path

from selector.output.formats.exporter import Exporter, HandedOut
from selector.output.picks import Pick

PICKS_FILE, IDS_FILE = "list/picks.csv", "list/image_ids.txt"
HEADER = ("source", "label", "top", "left", "height", "width", "rank", "image_id")


class PickList(Exporter):
    """No pixel is read for it."""

    def __init__(self, folder: Path, shared: HandedOut) -> None:
        super().__init__(folder, shared)
        self._ids: set[str] = set()
        path = folder / PICKS_FILE
        path.parent.mkdir(exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(HEADER)

    def add(self, pick: Pick) -> None:
        """See Exporter."""
        box = pick.box
        edges = (box.top, box.left, box.height, box.width)
        self._rows.writerow((pick.source, pick.of.label, *edges, pick.rank, pick.image_id))
        self._ids.add(pick.image_id)

    def finish(self) -> list[str]:
        """See Exporter."""
        self.close()
        (self.folder / IDS_FILE).write_text("".join(f"{one}\n" for one in sorted(self._ids)), encoding="utf-8")
        return [PICKS_FILE, IDS_FILE]

    def close(self) -> None:
        """See Exporter."""
        self._file.close()
