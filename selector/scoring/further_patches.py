"""Further patches of images that were scored for fewer, found offline in the store's mean maps (`--on-short patches`).

A further window is the best by the store's own rule beside those that the image already gave, without overlap. It has
no features and no standard error, since no server was asked; so it is in no cluster, and comes after every patch that
is scored.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.images.canvas import fit
from selector.images.originals import Originals
from selector.localisation.choice import chosen_windows, setting_of_store
from selector.records import Box, PatchTable
from selector.scoring.mean_maps import mean_maps
from selector.store.view import StoreView

_MOST = 16
_COLUMNS = ("top", "left", "height", "width")


def further_patches(view: StoreView, images: Originals, class_ids: Collection[int]) -> PatchTable:
    """Up to 16 further patches of every image of these classes that gives a patch, however many are wanted.

    Sorted by (class_id, patch_rank, falling typicality, image_id): every image's second patch before any image's third.
    patch_rank goes on where the store's ends; standard_error is NaN; features are float16 [n, 0].
    """
    table, mark = view.patches, view.fingerprint
    setting = setting_of_store(mark)
    sources = dict.fromkeys(table.source[np.isin(table.class_id, list(class_ids))])
    rows: list[dict[str, Any]] = []
    for record, delta in mean_maps(view, sources):
        canvas, mapping = fit(images.image(record["source"]), int(mark["resolution"]), str(mark["fit"]))
        taken = [Box(*edges) for edges in zip(*(record[f"window_canvas_{name}"] for name in _COLUMNS), strict=True)]
        kept = {name: record[name] for name in ("class_id", "image_id", "source", "draws")}
        chosen = chosen_windows(delta.astype(np.float32), canvas, mapping.valid, setting, _MOST, taken)
        for rank, window in enumerate(chosen, len(taken)):
            box = vars(mapping.to_original(window.box))
            rows.append(kept | box | {"patch_rank": rank, "typicality": window.typicality})
    rows.sort(key=lambda row: (row["class_id"], row["patch_rank"], -row["typicality"], row["image_id"]))
    return _table(rows)


def with_further(table: PatchTable, further: PatchTable) -> PatchTable:
    """The rows of both tables, one after the other, as they are exported: without features."""
    both = {
        name: np.concatenate([column, getattr(further, name)])
        for name, column in vars(table).items()
        if name not in ("features", "source")
    }
    source = np.asarray([*table.source, *further.source], object)
    return PatchTable(**both, source=source, features=np.zeros((len(table) + len(further), 0), np.float16))


def _table(rows: list[dict[str, Any]]) -> PatchTable:
    def column(name: str, kind: Any) -> NDArray[Any]:
        return np.asarray([row[name] for row in rows], kind)

    return PatchTable(
        class_id=column("class_id", np.int32),
        image_id=column("image_id", "<U16"),
        source=column("source", object),
        patch_rank=column("patch_rank", np.int32),
        top=column("top", np.int32),
        left=column("left", np.int32),
        height=column("height", np.int32),
        width=column("width", np.int32),
        typicality=column("typicality", np.float32),
        standard_error=np.full(len(rows), np.nan, np.float32),
        draws=column("draws", np.int32),
        features=np.zeros((len(rows), 0), np.float16),
    )
