"""Scores as rows of the store's tables. Pure: values in, tables and arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.scoring.reduction import ImageScore
from selector.scoring.stage_two import CropFeatures
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA, ScoredImage

_EDGES = ("top", "left", "height", "width")


def image_rows(scores: Sequence[ImageScore], cells: tuple[int, ...]) -> tuple[pa.Table, NDArray[np.float16]]:
    """Rows of IMAGE_SCHEMA and mean delta maps, float16 [n, h, w], zeros where an image was not scored."""
    maps = np.zeros((len(scores), *cells), np.float16)
    for i, score in enumerate(scores):
        if score.delta is not None:
            maps[i] = score.delta
    return pa.Table.from_pylist([_image_row(score) for score in scores], IMAGE_SCHEMA), maps


def _image_row(score: ImageScore) -> dict[str, Any]:
    image, windows, assigned = score.prepared, score.windows, score.assigned
    return {
        "image_id": image.image_id,
        "source": image.source,
        "class_id": score.class_id,
        "status": image.status,
        "reason": image.reason,
        "size": image.size,
        "mtime_ns": image.mtime_ns,
        "draws": score.draws,
        "losses_prompt": list(score.losses_prompt),
        "losses_reference": list(score.losses_reference),
        "height": image.height,
        "width": image.width,
        **{f"window_{edge}": [getattr(window.original, edge) for window in windows] for edge in _EDGES},
        **{f"window_canvas_{edge}": [getattr(window.canvas, edge) for window in windows] for edge in _EDGES},
        "typicality": [window.typicality for window in windows],
        "standard_error": [window.standard_error for window in windows],
        "assigned_margin": assigned and assigned.margin,
        "assigned_standard_error": assigned and assigned.standard_error,
        "assigned_unet_rows": assigned and assigned.unet_rows,
    }


def patch_rows(
    images: Sequence[ScoredImage], described: Sequence[CropFeatures], feature: int
) -> tuple[pa.Table, NDArray[np.float16]]:
    """Rows of PATCH_SCHEMA and features, float16 [n, F]; patches of images that failed carry zeros and the reason."""
    rows: list[dict[str, Any]] = []
    vectors: list[NDArray[np.float16]] = []
    for image, result in zip(images, described, strict=True):
        for rank, box in enumerate(image.boxes):
            ok = result.features is not None
            rows.append(
                {
                    "image_id": image.image_id,
                    "source": image.source,
                    "class_id": image.class_id,
                    "patch_rank": rank,
                    **{edge: getattr(box, edge) for edge in _EDGES},
                    "typicality": image.typicality[rank],
                    "standard_error": image.standard_error[rank],
                    "draws": image.draws,
                    "status": "ok" if ok else "failed",
                    "reason": result.reason,
                }
            )
            vector = np.zeros(feature, np.float32) if result.features is None else result.features[rank]
            vectors.append(vector.astype(np.float16))
    stacked = np.stack(vectors) if vectors else np.zeros((0, feature), np.float16)
    return pa.Table.from_pylist(rows, PATCH_SCHEMA), stacked
