"""A sample of a data set, equally many images of every class as far as there are, the same ones every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from client.contract import Identity
from selector.config import ScoreConfig
from selector.images.class_folders import matched_folders
from selector.images.class_names import read_class_names
from selector.images.prepare import OK, prepare_images
from selector.progress import Progress
from selector.records import Box
from selector.scoring.score import listing_of


@dataclass(frozen=True)
class Sampled:
    """canvas: uint8 [S, S, 3]. valid: the part of it that shows image."""

    class_id: int
    canvas: NDArray[np.uint8]
    valid: Box


def sample(config: ScoreConfig, identity: Identity, count: int, progress: Progress) -> list[Sampled]:
    """Up to `count` usable images. Raises UsageError if there are none, MismatchError for a folder that is no class."""
    listing = listing_of(config, progress).limited(config.limit_per_class)
    mapping = read_class_names(config.class_names) if config.class_names else None
    folders = matched_folders(listing, identity.classes, mapping, identity.class_names)
    of_class: dict[int, list[str]] = {}
    for source, folder in listing.pairs():
        of_class.setdefault(folders[folder], []).append(source)
    found: list[Sampled] = []
    unusable = 0
    for class_id, source in _in_turn(of_class):
        (prepared,) = prepare_images([listing.place(source)], identity.resolution, config.fit, config.min_side)
        if prepared.status != OK or prepared.canvas is None or prepared.to_original is None:
            unusable += 1
        else:
            found.append(Sampled(class_id, prepared.canvas, prepared.to_original.valid))
        if len(found) == count:
            break
    if unusable:
        progress.note(
            f"{unusable} files of the sample could not be used; others took their places where there were any"
        )
    if len(found) < count:
        progress.note(f"{config.data} gives {len(found)} usable images, {count} were asked for")
    return found


def _in_turn(of_class: dict[int, list[str]]) -> Iterator[tuple[int, str]]:
    """One of each class, then the next of each; within a class in the order of a hash, so that neighbours are no sample."""
    mixed = [
        [(class_id, source) for source in sorted(sources, key=_hash)] for class_id, sources in sorted(of_class.items())
    ]
    for turn in zip_longest(*mixed):
        yield from (one for one in turn if one is not None)


def _hash(source: str) -> bytes:
    return hashlib.blake2b(source.encode(errors="surrogateescape"), digest_size=8).digest()
