"""Stage II of one shard: chosen windows, cut from the original images, become DIFT features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from client.rows import Failure, Row, feature_row
from selector.images.prepare import FAILED, OK, UNREAD, Crops
from selector.scoring.stage_one import Scorer


@dataclass(frozen=True)
class CropFeatures:
    """Features of one file's crops, float32 [n, F] in the order of the crops; None with a reason unless status is ok.

    status: OK, FAILED for what lies in the file, UNREAD for what lies around it.
    """

    source: str
    features: NDArray[np.float32] | None
    status: str = OK
    reason: str = ""


async def describe_crops(
    client: Scorer, crops: Sequence[Crops], class_ids: Sequence[int], advance: Callable[[int], None]
) -> list[CropFeatures]:
    """Describes every crop under its class's prompt; the result is in the input's order."""
    failures = {i: (crop.status, crop.reason) for i, crop in enumerate(crops) if crop.images is None}
    found: dict[tuple[int, int], NDArray[np.float32]] = {}

    def rows() -> Iterator[Row]:
        for i, crop in enumerate(crops):
            for j, image in enumerate(() if crop.images is None else crop.images):
                yield feature_row((i, j), image, class_ids[i] + 1)

    async for outcome in client.score(rows()):
        i, j = cast(tuple[int, int], outcome.key)
        if isinstance(outcome, Failure):
            failures.setdefault(i, (FAILED if outcome.lasting else UNREAD, f"features: {outcome.reason}"))
        else:
            found[i, j] = outcome.outputs["FEATURE"]
        advance(1)
    return [
        CropFeatures(crop.source, None, *failures[i])
        if i in failures or crop.images is None
        else CropFeatures(crop.source, np.stack([found[i, j] for j in range(len(crop.images))]))
        for i, crop in enumerate(crops)
    ]
