"""What a report is made of: plain values, so that it can be drawn from any source and tested without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.records import Box


@dataclass(frozen=True)
class Pick:
    """One chosen patch. picture: its thumbnail as a data URI. box: pixels of the original. rank counts from 0."""

    rank: int
    image_id: str
    source: str
    box: Box
    typicality: float
    standard_error: float
    cluster_label: int
    membership: float
    picture: str


@dataclass(frozen=True)
class ClassReport:
    """One class. images, patches: what there was to choose from. chosen: how many picks it got.

    clusters, unclustered (share), method, note: as in ClassOrder. typicality_chosen, typicality_rest: float32, of the
    distinct patches chosen and of all others. picks: those with a thumbnail, in rank order.
    """

    name: str
    images: int
    patches: int
    chosen: int
    clusters: int
    unclustered: float
    method: str
    note: str
    typicality_chosen: NDArray[np.float32]
    typicality_rest: NDArray[np.float32]
    picks: tuple[Pick, ...]


@dataclass(frozen=True)
class Scene:
    """One whole image with its typicality map.

    image: uint8 [H, W, 3]. typicality_map: float [h, w], stretched over all of it. boxes: the chosen
    windows in pixels of `image`, best first.
    """

    class_name: str
    source: str
    image: NDArray[np.uint8]
    typicality_map: NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]
    boxes: tuple[Box, ...]
    typicality: float
    standard_error: float


@dataclass(frozen=True)
class Failed:
    """A file that gave no patch. status: "failed", "filtered", "passed over", …"""

    source: str
    status: str
    reason: str


@dataclass(frozen=True)
class ReportInput:
    """All that the page shows.

    counts: files by outcome in the order to show (seen, scored, filtered, failed, …). unet_rows: UNet evaluations of
    this run. unet_rows_in_store: of all runs, None if unknown. provenance: (name, value) in order. timings: (stage,
    seconds) in order.
    """

    title: str
    ipc: int
    order: str
    counts: Mapping[str, int]
    unet_rows: int
    classes: tuple[ClassReport, ...]
    scenes: tuple[Scene, ...] = ()
    failures: tuple[Failed, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    timings: tuple[tuple[str, float], ...] = ()
    unet_rows_in_store: int | None = None
