"""Delta maps of single draws of images, by kind of reference, from a server; kept in pieces on disk, if a folder is given.

Owns collecting and keeping them, so that a long measurement goes on where it was stopped. Must not know rules, windows or
what is made of the maps.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.contract import Identity
from client.scoring import ClientConfig, ScoringClient
from selector.calibration.maps import draw_maps

_PIECE = 100
_PATIENCE_S = 3600.0  # a measurement in the background may be paused

References = Callable[[int, int, int], NDArray[np.int32]]
"""(class_id, classes, draws) → prompt ids to contrast the class with, int32 [draws]."""


@dataclass(frozen=True)
class DeltaMaps:
    """identity: of the server. deltas: kind of reference → float32 [n, draws, h, w] in the images' order."""

    identity: Identity
    deltas: Mapping[str, NDArray[np.float32]]


def folder_of(maps: Path, identity: Identity, scenes: str, draws: int) -> Path:
    """Where tables of one repository, of the same scenes and draws, keep their maps together."""
    return maps / f"{identity.pipeline}-{scenes}-{draws}"


async def collect(
    server: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    draws: int,
    kinds: Mapping[str, References],
    folder: Path | None,
) -> DeltaMaps:
    """images: uint8 [n, S, S, 3]. labels: int64 [n]. Raises ServerError for a row that fails.

    folder: where pieces of 100 images are kept; raises ValueError if it holds maps of other images, draws or models.
    """
    patience = ClientConfig(servers=(server,), deadline_s=_PATIENCE_S, attempt_s=_PATIENCE_S)
    async with ScoringClient(patience) as client:
        if folder:
            _check_mark(folder, _mark(client.identity, images, labels, draws, kinds))
        deltas: dict[str, list[NDArray[np.float32]]] = {kind: [] for kind in kinds}
        for start in range(0, len(images), _PIECE):
            part = slice(start, start + _PIECE)
            for kind, references in kinds.items():
                path = folder / f"{kind}-{start:06d}.npy" if folder else None
                if path and path.exists():
                    deltas[kind].append(np.load(path))
                    continue
                piece = await _piece(client, images[part], labels[part], draws, references)
                deltas[kind].append(piece)
                if path:
                    _save(path, piece)
            done = min(start + _PIECE, len(images))
            print(f"delta maps: {done}/{len(images)} images of {draws} draws and {len(kinds)} kinds", file=sys.stderr)
        return DeltaMaps(client.identity, {kind: np.concatenate(pieces) for kind, pieces in deltas.items()})


async def _piece(
    client: ScoringClient,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    draws: int,
    references: References,
) -> NDArray[np.float32]:
    classes = len(client.identity.classes)
    contrasted = np.stack([references(int(label), classes, draws) for label in labels])
    taken = client.identity.taken(draws)
    return await draw_maps(client, list(images), [int(label) + 1 for label in labels], contrasted, taken)


def _mark(
    identity: Identity,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    draws: int,
    kinds: Mapping[str, References],
) -> str:
    """What the maps of a folder depend on, as text."""
    classes = len(identity.classes)
    references = {kind: [made(c, classes, draws).tolist() for c in range(classes)] for kind, made in kinds.items()}
    pixels = hashlib.blake2b(images.tobytes() + labels.tobytes(), digest_size=16).hexdigest()
    scored = {name: value for name, value in identity.as_dict().items() if name in _SCORED_BY}
    taken = {"draw_order": identity.taken(draws)} if identity.draw_order else {}
    return json.dumps({**scored, **taken, "images": pixels, "references": references}, sort_keys=True) + "\n"


_SCORED_BY = ("pipeline", "classes", "prompts", "draws", "timesteps", "resolution", "precision")


def _check_mark(folder: Path, mark: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "maps.json"
    if not path.exists():
        path.write_text(mark)
    elif path.read_text() != mark:
        raise ValueError(f"{folder} holds delta maps of other images, draws or models: use another folder")


def _save(path: Path, piece: NDArray[np.float32]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, piece)
    temporary.replace(path)
