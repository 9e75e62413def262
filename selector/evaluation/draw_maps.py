"""Delta maps of single draws of a data set, computed once and kept.

Owns collecting and keeping them. Must not know what is made of them. The bank is cut into replicates, each with the
references of a grid from its start, so that two replicates are two grids of the same design with other noises. Pieces that
are there are not computed again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from client.draw_maps import draw_maps
from client.embedded.server import EmbeddedServer
from client.scoring import ClientConfig, ScoringClient
from selector.config import ScoreConfig
from selector.errors import SelectorError, StoreError
from selector.images.datasets import Item, match_classes
from selector.images.prepare import Prepared, prepare_images
from selector.progress import Progress
from selector.scoring.plan import Plan, fingerprint, make_plan
from selector.scoring.score import listing_of

_PIECE = 50
_PATIENCE_S = 3600.0  # a measurement in the background may be paused


@dataclass(frozen=True)
class DrawMaps:
    """n images with the delta maps of single draws, in the listing's order.

    images: the files after decoding, all usable. class_id: int64 [n]. deltas: float32 [n, replicates, draws, h, w].
    plan: what a grid of all draws of a replicate would be scored with.
    """

    plan: Plan
    images: tuple[Prepared, ...]
    class_id: NDArray[np.int64]
    deltas: NDArray[np.float32]


def collect(config: ScoreConfig, replicates: int, folder: Path, progress: Progress) -> DrawMaps:
    """The maps of `config.draws` draws per replicate, from the embedded server; `folder` keeps them by pieces of images.

    Raises StoreError if the folder holds maps of something else, SelectorError for an image that can't be used.
    """
    listing = listing_of(config)
    with EmbeddedServer(config.repository, threads=1) as server:
        return asyncio.run(
            _collect(config, listing.items, listing.folders, replicates, folder, progress, server.grpc_url)
        )


async def _collect(
    config: ScoreConfig,
    items: Sequence[Item],
    folders: Sequence[str],
    replicates: int,
    folder: Path,
    progress: Progress,
    server: str,
) -> DrawMaps:
    async with ScoringClient(ClientConfig((server,), deadline_s=_PATIENCE_S, attempt_s=_PATIENCE_S)) as client:
        plan = make_plan(client.identity, config)
        class_ids = match_classes(folders, client.identity.classes)
        labels = np.array([class_ids[item.folder] for item in items], np.int64)
        sources = [item.source for item in items]
        mark = {**fingerprint(client.identity, plan), "replicates": replicates, "sources": _hash(sources)}
        mark.pop("centring", None)  # no map depends on where windows go
        _check_mark(folder, mark)
        images = prepare_images(config.data, sources, plan.resolution, plan.fit, plan.min_side)
        unusable = [image for image in images if image.canvas is None]
        if unusable:
            raise SelectorError(f"{unusable[0].source} can't be used: {unusable[0].reason}")
        pieces = []
        with progress.stage("draws", 2 * len(images) * replicates * plan.draws, "UNet rows") as advance:
            for start in range(0, len(images), _PIECE):
                part = slice(start, start + _PIECE)
                path = folder / f"{start:06d}.npy"
                if not path.exists():
                    deltas = await _deltas(client, plan, images[part], labels[part], replicates)
                    with path.with_suffix(".tmp").open("wb") as file:
                        np.save(file, deltas)
                    path.with_suffix(".tmp").replace(path)
                pieces.append(np.load(path))
                advance(2 * len(pieces[-1]) * replicates * plan.draws)
        return DrawMaps(plan, tuple(images), labels, np.concatenate(pieces))


async def _deltas(
    client: ScoringClient, plan: Plan, images: Sequence[Prepared], labels: NDArray[np.int64], replicates: int
) -> NDArray[np.float32]:
    canvases = [cast(NDArray[np.uint8], image.canvas) for image in images]
    grids = [plan.rule.references(int(label), plan.classes, plan.draws) for label in labels]
    references = np.tile(np.stack(grids), (1, replicates))
    maps = await draw_maps(client, canvases, [int(label) + 1 for label in labels], references)
    return maps.reshape(len(images), replicates, plan.draws, *maps.shape[2:])


def _check_mark(folder: Path, mark: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / "maps.json", json.dumps(mark, indent=1, sort_keys=True)
    if not path.exists():
        path.write_text(text)
    elif path.read_text() != text:
        raise StoreError(f"{folder} holds maps of other images, draws or settings: use another folder")


def _hash(sources: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(sources).encode(), digest_size=16).hexdigest()
