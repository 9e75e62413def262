"""coco/annotations.json: every pick is an annotation on its original image, as object detection has them.

Ids count from 1: pycocotools takes an annotation of id 0 for none. file_name is the original's source, relative to the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selector.output.formats.exporter import Exporter, HandedOut
from selector.output.picks import Pick

FILE = "coco/annotations.json"


class Coco(Exporter):
    """No pixel is read for it."""

    def __init__(self, folder: Path, shared: HandedOut) -> None:
        super().__init__(folder, shared)
        self._images: dict[str, dict[str, Any]] = {}
        self._annotations: list[dict[str, Any]] = []
        self._licence = {"license": 1} if "license" in shared.metadata else {}

    def add(self, pick: Pick) -> None:
        """See Exporter."""
        size = {"height": pick.image_height, "width": pick.image_width}
        image = {"id": len(self._images) + 1, "file_name": pick.source, **size, **self._licence}
        box = pick.box
        self._annotations.append(
            {
                "id": len(self._annotations) + 1,
                "image_id": self._images.setdefault(pick.source, image)["id"],
                "category_id": pick.of.index + 1,
                "bbox": [box.left, box.top, box.width, box.height],
                "area": box.width * box.height,
                "segmentation": [],
                "iscrowd": 0,
                "attributes": {"rank": pick.rank, "image_id": pick.image_id, "typicality": pick.typicality},
            }
        )

    def finish(self) -> list[str]:
        """See Exporter."""
        known = self.shared.metadata
        info = {name: known[name] for name in ("description", "url", "version") if name in known}
        content = {
            "info": info,
            "licenses": [{"id": 1, "name": known["license"]}] if "license" in known else [],
            "categories": [
                {"id": one.index + 1, "name": one.label, "supercategory": ""} for one in self.shared.classes
            ],
            "images": list(self._images.values()),
            "annotations": self._annotations,
        }
        path = self.folder / FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        return [FILE]
