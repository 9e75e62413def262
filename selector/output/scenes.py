"""Some chosen images as models saw them, with their typicality maps and windows, for the report."""

from __future__ import annotations

import numpy as np

from selector.images.canvas import fit
from selector.images.originals import Originals
from selector.records import Box
from selector.report import Scene
from selector.scoring.mean_maps import mean_maps
from selector.selection.selection import Selection
from selector.store.view import StoreView

_SCENES = 24


def scenes_of(view: StoreView, chosen: Selection, images: Originals) -> tuple[Scene, ...]:
    """The best picks of every class in turn, at most 24 in all: canvas, mean delta map and windows."""
    per_class = max(1, _SCENES // max(1, len(view.class_names)))
    rows = chosen.row[np.flatnonzero(chosen.rank < per_class)][:_SCENES]
    sources = dict.fromkeys(str(view.patches.source[row]) for row in rows)
    size = int(view.fingerprint["resolution"])
    scenes = []
    for record, mean_map in mean_maps(view, sources):
        source = record["source"]
        canvas, _ = fit(images.image(source), size, str(view.fingerprint["fit"]))
        boxes = zip(*(record[f"window_canvas_{name}"] for name in ("top", "left", "height", "width")), strict=True)
        scenes.append(
            Scene(
                class_name=view.titles[record["class_id"]],
                source=source,
                image=canvas,
                typicality_map=mean_map,
                boxes=tuple(Box(*box) for box in boxes),
                typicality=record["typicality"][0],
                standard_error=record["standard_error"][0],
            )
        )
    return tuple(scenes)
