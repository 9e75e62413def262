"""Methods: which patches of a pool a student is trained on. Baselines, the ceiling and this system's orders.

Every method answers with picks sorted by (class, rank), and a smaller budget is a prefix. Methods "of random images"
take the same images, so that they differ by the box alone. Boxes are as large as this system's own window of that
image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.evaluation.pools import Pool
from selector.localisation.centring import centred, contrast
from selector.records import Box
from selector.selection.selection import select as select_patches
from selector.selection.strategies import STRATEGIES

RDED_CROPS = 5
"""Random crops of an image among which RDED takes the most confident (Sun et al., CVPR 2024, their default)."""

CENTRED = ("rded", "window-random", *(name for name in STRATEGIES if name != "random"))
"""Methods that there are with centred windows too, as NAME+centred: those whose windows were chosen by what they show."""

Confidence = Callable[[NDArray[np.int64], NDArray[np.uint8]], NDArray[np.float64]]
"""(class_ids [m], crops uint8 [m, S, S, 3]) → float64 [m], the teacher's log-probability of the class."""


@dataclass(frozen=True)
class Pick:
    """A box of a picture of the pool, pixels of the original."""

    picture: int
    box: Box


class Method(Protocol):
    """Picks of every class, `ipc` each, sorted by (class_id, rank)."""

    def __call__(self, pool: Pool, ipc: int) -> list[Pick]: ...


def of_random_images(box_of: Callable[[Pool, int], Box]) -> Method:
    """The method that takes images in a random order and of each the box that box_of(pool, picture) says."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        draw = np.random.default_rng([pool.seed, 0])
        picks = []
        for class_id in sorted(pool.class_names):
            own = draw.permutation(np.flatnonzero(pool.pictures.labels == class_id))[:ipc]
            picks += [Pick(int(picture), box_of(pool, int(picture))) for picture in own]
        return picks

    return choose


def by_order(name: str) -> Method:
    """The method that takes this system's windows in the order of a strategy of `selector.selection`."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        chosen = select_patches(pool.patches, pool.class_names, ipc, order=name, seed=pool.seed)
        number = {source: place for place, source in enumerate(pool.pictures.sources)}
        return [Pick(number[str(pool.patches.source[row])], pool.box(int(row))) for row in chosen.row]

    return choose


def with_centred_windows(method: Method) -> Method:
    """The method's picks with every window moved onto what stands out in it (`centring`)."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        images = pool.pictures.images
        return [Pick(pick.picture, centred(contrast(images[pick.picture]), pick.box)) for pick in method(pool, ipc)]

    return choose


def rded(confidence: Confidence, side_px: int) -> Method:
    """RDED's choice: of RDED_CROPS random windows of each image the one that the teacher gives its class the most
    confidence, then the most confident images of each class (Sun et al., "On the Diversity and Realism of Distilled
    Dataset", CVPR 2024; fixed window size instead of random scales, which is to its advantage where sizes are known).
    """

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        draw = np.random.default_rng([pool.seed, 1])
        pictures = pool.pictures
        numbers = np.repeat(np.arange(len(pictures)), RDED_CROPS)
        boxes = [_random_window(pool, int(number), draw) for number in numbers]
        crops = pictures.crops(numbers.tolist(), boxes, side_px)
        sure = confidence(pictures.labels[numbers], crops).reshape(len(pictures), RDED_CROPS)
        best = sure.argmax(axis=1)
        picks = []
        for class_id in sorted(pool.class_names):
            own = np.flatnonzero(pictures.labels == class_id)
            ranked = own[np.argsort(-sure[own, best[own]], kind="stable")][:ipc]
            picks += [Pick(int(n), boxes[int(n) * RDED_CROPS + int(best[n])]) for n in ranked]
        return picks

    return choose


def methods(confidence: Confidence, side_px: int) -> Mapping[str, Method]:
    """Every method by name. side_px: the side of the crops that the teacher sees."""
    plain = _plain_methods(confidence, side_px)
    return plain | {f"{name}+centred": with_centred_windows(plain[name]) for name in CENTRED}


def _plain_methods(confidence: Confidence, side_px: int) -> dict[str, Method]:
    return {
        "random-image": of_random_images(lambda pool, number: pool.pictures.whole(number)),
        "random-patch": of_random_images(_seeded_window),
        "centre": of_random_images(_centre),
        "brightest": of_random_images(_brightest),
        "rded": rded(confidence, side_px),
        "window-random": of_random_images(lambda pool, number: pool.window(number)),
        **{name: by_order(name) for name in STRATEGIES if name != "random"},
        "true-boxes": of_random_images(_true_box),
    }


def _seeded_window(pool: Pool, number: int) -> Box:
    return _random_window(pool, number, np.random.default_rng([pool.seed, 2, number]))


def _random_window(pool: Pool, number: int, draw: np.random.Generator) -> Box:
    window, whole = pool.window(number), pool.pictures.whole(number)
    top = int(draw.integers(whole.height - window.height + 1))
    left = int(draw.integers(whole.width - window.width + 1))
    return Box(top, left, window.height, window.width)


def _centre(pool: Pool, number: int) -> Box:
    window, whole = pool.window(number), pool.pictures.whole(number)
    return Box((whole.height - window.height) // 2, (whole.width - window.width) // 2, window.height, window.width)


def _brightest(pool: Pool, number: int) -> Box:
    """The window with the greatest sum of grey levels; ties go to the topmost, then leftmost."""
    window = pool.window(number)
    grey = pool.pictures.images[number].astype(np.int64).sum(axis=2)
    total = np.pad(grey.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    h, w = window.height, window.width
    sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return Box(top, left, h, w)


def _true_box(pool: Pool, number: int) -> Box:
    box = pool.pictures.boxes[number]
    if box is None:
        raise SelectorError(
            f"true-boxes needs boxes.csv in the data; there is none for {pool.pictures.sources[number]}"
        )
    return box
