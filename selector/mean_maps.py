"""The mean delta maps of images, over all rounds of draws, as a store holds them.

Owns the joining of an image's rounds. Must not know what the maps are wanted for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.scoring.plan import draw_weights
from selector.scoring.typicality import combine_rounds
from selector.store.store import Store


def mean_maps(store: Store, sources: Collection[str]) -> Iterator[tuple[dict[str, Any], NDArray[np.float16]]]:
    """Of each source, in the order given, its record of stage I (of the last round) and its map, float16 [h, w].

    Raises StoreError for damage, KeyError for a source that was never scored.
    """
    table, maps = store.read_images()
    rounds: dict[str, list[int]] = {source: [] for source in sources}
    for row, source in enumerate(table["source"].to_pylist()):
        if source in rounds:
            rounds[source].append(row)
    weights = draw_weights(store.read_fingerprint())
    for source, rows in rounds.items():
        if not rows:
            raise KeyError(source)
        records = [table.slice(row, 1).to_pylist()[0] for row in rows]
        yield records[-1], _joined([maps[row] for row in rows], [record["draws"] for record in records], weights)


def _joined(
    maps: Sequence[NDArray[np.float16]], draws: Sequence[int], weights: NDArray[np.float32]
) -> NDArray[np.float16]:
    """The mean map of all draws from each round's map and the draws that there were after it."""
    if len(maps) == 1:
        return maps[0]
    starts = [0, *draws[:-1]]
    parts = [weights[start:end] for start, end in zip(starts, draws, strict=True)]
    return combine_rounds(maps, parts).astype(np.float16)
