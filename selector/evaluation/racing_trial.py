"""What racing saves and what it costs: picks of races against those of the full grid, offline, from maps of single draws.

Owns this measurement. Must not know files or how maps were had (draw_maps.py). Races are run by the functions that scoring
runs them by. A replicate is a full grid of its own; picks made from one are compared with those of the same full grid, whose
draws they share, and with those of the other one, which they do not: only that comparison is fair, and two full grids with
disjoint draws are its ceiling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from selector.evaluation.boxes import centred, overlap
from selector.evaluation.draw_maps import DrawMaps
from selector.evaluation.racing_merits import SAME_WINDOW_IOU, boundary_doubt, window_doubt
from selector.records import Box, PatchTable
from selector.scoring.plan import Plan
from selector.scoring.racing import Candidate, Race, admitted, going_on
from selector.scoring.reduction import Drawn, ScoredWindow, grid_of, prior_of, reduced
from selector.scoring.windows import window_means
from selector.selection.selection import select

Merit = Callable[[int, int], NDArray[np.float64]]
"""(replicate, draws) → what images go on by after so many draws, float64 [n]; more goes on first."""


@dataclass(frozen=True)
class Scores:
    """n images scored by some draws. draws: int64 [n], of each. windows: its best one."""

    draws: NDArray[np.int64]
    windows: tuple[ScoredWindow, ...]

    @property
    def rows_per_image(self) -> float:
        """Mean UNet evaluations."""
        return 2 * float(self.draws.mean())


@dataclass
class Trial:
    """Fixed grids and races on the maps of a sample; prefixes of draws are scored once."""

    maps: DrawMaps
    _known: dict[tuple[int, int], tuple[ScoredWindow, ...]] = field(default_factory=dict)

    def fixed(self, replicate: int, draws: int) -> Scores:
        """All images with the first draws of a replicate."""
        if (replicate, draws) not in self._known:
            plan = first_draws(self.maps.plan, draws)
            self._known[replicate, draws] = tuple(
                reduced(plan, image, int(class_id), 0, Drawn(deltas[replicate, :draws], (), ())).windows[0]
                for image, class_id, deltas in zip(self.maps.images, self.maps.class_id, self.maps.deltas, strict=True)
            )
        return Scores(np.full(len(self.maps.images), draws), self._known[replicate, draws])

    def raced(self, replicate: int, race: Race, merit: Merit | None = None) -> Scores:
        """A race within a replicate; merit: by default typicality, as in scoring."""
        draws = np.full(len(self.maps.images), race.ends[0])
        sizes = {int(c): int((self.maps.class_id == c).sum()) for c in np.unique(self.maps.class_id)}
        left = list(range(len(draws)))
        for round in range(1, len(race.ends)):
            merits = (merit or self.typicality)(replicate, race.ends[round - 1])
            candidates = [self._candidate(i, float(merits[i])) for i in left]
            chosen = {c.source for c in admitted(candidates, going_on(candidates, sizes, race.shares[round]))}
            left = [i for i in left if self.maps.images[i].source in chosen]
            draws[left] = race.ends[round]
        windows = tuple(self.fixed(replicate, int(d)).windows[i] for i, d in enumerate(draws))
        return Scores(draws, windows)

    def typicality(self, replicate: int, draws: int) -> NDArray[np.float64]:
        """What scoring goes by: the best window's typicality so far."""
        return np.array([window.typicality for window in self.fixed(replicate, draws).windows])

    def boundary(self, replicate: int, draws: int, share: float = 0.25) -> NDArray[np.float64]:
        """Nearness to the boundary of the best quarter of the class."""
        windows = self.fixed(replicate, draws).windows
        values = np.array([(window.typicality, window.standard_error) for window in windows], np.float32).T
        merits = np.empty(len(windows))
        for class_id in np.unique(self.maps.class_id):
            own = self.maps.class_id == class_id
            merits[own] = boundary_doubt(values[0, own], values[1, own], share)
        return merits

    def window(self, replicate: int, draws: int) -> NDArray[np.float64]:
        """Doubt about the window, of all images alike."""
        plan = first_draws(self.maps.plan, draws)
        merits = np.empty(len(self.maps.images))
        for number, image in enumerate(self.maps.images):
            grid = grid_of(plan, image)
            values = window_means(self.maps.deltas[number, replicate, :draws], grid)
            merits[number] = window_doubt(plan, grid, values, prior_of(plan, image, grid))
        return merits

    def _candidate(self, number: int, merit: float) -> Candidate:
        image = self.maps.images[number]
        return Candidate(image.source, image.image_id, int(self.maps.class_id[number]), merit)


def first_draws(plan: Plan, draws: int) -> Plan:
    """The full grid of so many draws."""
    return replace(plan, draws=draws, weights=plan.weights[:draws], timesteps=plan.timesteps[:draws], race=None)


@dataclass(frozen=True)
class Picks:
    """Picks by class: class_id → (image number, window in pixels of the original), best first."""

    by_class: Mapping[int, tuple[tuple[int, Box], ...]]

    def first(self, ipc: int) -> Picks:
        """Those of a smaller budget."""
        return Picks({class_id: picks[:ipc] for class_id, picks in self.by_class.items()})


def pick(
    maps: DrawMaps, scores: Scores, features: Mapping[tuple[int, Box], NDArray[np.float16]], ipc: int, order: str
) -> Picks:
    """The selection from these scores. features: of each image's chosen window."""
    ids = np.array([image.image_id for image in maps.images])
    rows = np.lexsort((ids, maps.class_id))
    boxes = [scores.windows[i].original for i in rows]
    edges = {name: np.array([getattr(box, name) for box in boxes], np.int32) for name in vars(boxes[0])}
    table = PatchTable(
        class_id=maps.class_id[rows].astype(np.int32),
        image_id=ids[rows].astype("<U16"),
        source=np.array([maps.images[i].source for i in rows], object),
        patch_rank=np.zeros(len(rows), np.int32),
        **edges,
        typicality=np.array([scores.windows[i].typicality for i in rows], np.float32),
        standard_error=np.array([scores.windows[i].standard_error for i in rows], np.float32),
        draws=scores.draws[rows].astype(np.int32),
        features=np.stack([features[int(i), scores.windows[i].original] for i in rows]),
    )
    chosen = select(table, [str(c) for c in range(maps.plan.classes)], ipc, order=order, on_short="all")
    by_class: dict[int, list[tuple[int, Box]]] = {}
    for class_id, row in zip(chosen.class_id, chosen.row, strict=True):
        number = int(rows[row])
        by_class.setdefault(int(class_id), []).append((number, scores.windows[number].original))
    return Picks({class_id: tuple(picks) for class_id, picks in by_class.items()})


def same_images(ours: Picks, theirs: Picks) -> NDArray[np.float64]:
    """By class, the share of picks whose image both have."""
    return _by_class(ours, theirs, lambda *_: True)


def same_windows(ours: Picks, theirs: Picks) -> NDArray[np.float64]:
    """By class, the share of picks whose image both have with the same window (IoU of at least one half)."""
    return _by_class(ours, theirs, lambda *windows: overlap(*windows) >= SAME_WINDOW_IOU)


def _by_class(ours: Picks, theirs: Picks, alike: Callable[[Box, Box], bool]) -> NDArray[np.float64]:
    shares = []
    for class_id, picks in sorted(ours.by_class.items()):
        other = dict(theirs.by_class[class_id])
        shares.append(np.mean([number in other and alike(window, other[number]) for number, window in picks]))
    return np.array(shares, np.float64)


def pointing(picks: Picks, boxes: Sequence[Box]) -> NDArray[np.float64]:
    """By class, the share of picks whose window has its centre in the image's true box; boxes: one per image."""
    return np.array([np.mean([centred(w, boxes[i]) for i, w in own]) for _, own in sorted(picks.by_class.items())])
