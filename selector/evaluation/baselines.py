"""Methods that are not this system's: random images, windows that need no model, RDED's choice and reversed EL2N.

Methods "of random images" take the same images, so that they differ by the box alone. Boxes are as large as this
system's own window of that image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.evaluation.picks import Method, Pick, of_each_class, whole
from selector.evaluation.pools import Pool
from selector.records import Box

RDED_CROPS = 5
"""Random crops of an image among which RDED takes the most confident (Sun et al., CVPR 2024, their default)."""

Score = Callable[[NDArray[np.int64], NDArray[np.uint8]], NDArray[np.float64]]
"""(class_ids [m], images uint8 [m, S, S, 3]) → float64 [m]."""


@dataclass(frozen=True)
class Judges:
    """What methods of others ask networks that were trained on labelled data; None where there is no such network.

    side_px: side of the images that the networks see. confidence: the teacher's log-probability of the class.
    error_norm: EL2N, see `easiness`.
    """

    side_px: int
    confidence: Score | None = None
    error_norm: Score | None = None


def baselines(judges: Judges) -> dict[str, Method]:
    """Every method of this file by name."""
    return {
        "random-image": of_random_images(lambda pool, number: pool.pictures.whole(number)),
        "random-patch": of_random_images(_seeded_window),
        "centre": of_random_images(_centre),
        "brightest": of_random_images(_brightest),
        "rded": rded(judges),
        "el2n-easy": el2n_easy(judges),
        "window-random": of_random_images(lambda pool, number: pool.window(number)),
        "true-boxes": of_random_images(_true_box),
    }


def of_random_images(box_of: Callable[[Pool, int], Box]) -> Method:
    """The method that takes images in a random order and of each the box that box_of(pool, picture) says."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        draw = np.random.default_rng([pool.seed, 0])
        shuffled = [draw.permutation(own)[:ipc].tolist() for own in of_each_class(pool)]
        return [Pick(number, box_of(pool, number)) for numbers in shuffled for number in numbers]

    return choose


def rded(judges: Judges) -> Method:
    """RDED's choice: of RDED_CROPS random windows of each image the one that the teacher gives its class the most
    confidence, then the most confident images of each class (Sun et al., "On the Diversity and Realism of Distilled
    Dataset", CVPR 2024; fixed window size instead of random scales, which is to its advantage where sizes are known).
    """

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        draw = np.random.default_rng([pool.seed, 1])
        pictures = pool.pictures
        numbers = np.repeat(np.arange(len(pictures)), RDED_CROPS)
        boxes = [_random_window(pool, int(number), draw) for number in numbers]
        crops = pictures.crops(numbers.tolist(), boxes, judges.side_px)
        confidence = _asked(judges.confidence, "rded needs a teacher")
        sure = confidence(pictures.labels[numbers], crops).reshape(len(pictures), RDED_CROPS)
        best = sure.argmax(axis=1)
        picks = []
        for own in of_each_class(pool):
            ranked = own[np.argsort(-sure[own, best[own]], kind="stable")][:ipc]
            picks += [Pick(int(n), boxes[int(n) * RDED_CROPS + int(best[n])]) for n in ranked]
        return picks

    return choose


def el2n_easy(judges: Judges) -> Method:
    """Reversed EL2N, as many of each class: the whole images on which networks early in training err least.

    EL2N is Paul et al.'s ("Deep Learning on a Data Diet", NeurIPS 2021), who keep the hard ones; that few images teach
    more if they are easy and uncropped is PCA's finding (arXiv 2502.06434). As the tiles of mosaics they are PCA's set.
    """

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        pictures = pool.pictures
        numbers = range(len(pictures))
        images = pictures.crops(numbers, [pictures.whole(number) for number in numbers], judges.side_px)
        error = _asked(judges.error_norm, "el2n-easy needs its networks")(pictures.labels, images)
        ranked = [own[np.argsort(error[own], kind="stable")][:ipc].tolist() for own in of_each_class(pool)]
        return [whole(pool, number) for easiest in ranked for number in easiest]

    return choose


def _asked(score: Score | None, need: str) -> Score:
    if score is None:
        raise SelectorError(f"{need}: name the data to train on (--teacher-data)")
    return score


def _seeded_window(pool: Pool, number: int) -> Box:
    return _random_window(pool, number, np.random.default_rng([pool.seed, 2, number]))


def _random_window(pool: Pool, number: int, draw: np.random.Generator) -> Box:
    window, picture = pool.window(number), pool.pictures.whole(number)
    top = int(draw.integers(picture.height - window.height + 1))
    left = int(draw.integers(picture.width - window.width + 1))
    return Box(top, left, window.height, window.width)


def _centre(pool: Pool, number: int) -> Box:
    window, picture = pool.window(number), pool.pictures.whole(number)
    top, left = (picture.height - window.height) // 2, (picture.width - window.width) // 2
    return Box(top, left, window.height, window.width)


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
