"""Drawings of the Open Clip Art Library: what colour scenes are made of.

Owns the reading of the PNG files of Debian's package openclipart-png, the classes, and which drawing belongs to which split.
A class is a folder of the package. Must not know what is made of drawings.

Where a file lies (or is linked) in several folders, the deepest one gives its class; two classes at one depth, or a folder
that stands for none, leave it out. Drawings of a class that look alike are of one *family*, and a family is of one split
(docs/decisions/027-three-worlds.md).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.scenes.families import families_of
from benchmarks.scenes.splits import splits_of

SOURCE = Path("/usr/share/openclipart/png")  # Debian package openclipart-png
DRAWING_PX = 80
FOLDERS: Mapping[str, str | None] = {  # the part of the package below a folder → its class
    "animals": "animal",
    "buildings": "building",
    "buildings/furniture": None,
    "computer/hardware": "computer",
    "food/beverages": "drink",
    "food/desserts": "sweet",
    "food/fruit": "fruit",
    "food/vegetables": "fruit",
    "people": "person",
    "people/bodypart": None,
    "people/clothing": None,
    "people/smilies": None,
    "people/stickmen": None,
    "plants": "plant",
    "tools": "tool",
    "tools/weapons": None,
    "transportation": "vehicle",
    "transportation/aiga-symbols": None,
    "transportation/roadsigns": None,  # variants of three templates
}
CLASS_NAMES = tuple(sorted({name for name in FOLDERS.values() if name}))
_LARGEST = 16_000_000  # pixels of a file; the few above it take longer to read than all others
_LONGEST, _LEAST_COVERED, _MOST_COVERED = (
    2.5,
    0.2,
    0.97,
)  # a drawing fills its square neither too little nor as a rectangle


@dataclass(frozen=True)
class Drawings:
    """images (N, 80, 80, 4) uint8 RGBA, each in the middle of its square; labels (N,) into CLASS_NAMES; N names and families."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    families: tuple[str, ...]

    def of_split(self, split: str) -> Drawings:
        """Those whose family is of the split."""
        where = splits_of(self.families)
        own = [i for i, family in enumerate(self.families) if where[family] == split]
        names, families = (tuple(values[i] for i in own) for values in (self.names, self.families))
        return Drawings(self.images[own], self.labels[own], names, families)


def read_drawings(source: Path = SOURCE) -> Drawings:
    """All drawings of the classes, sorted by name. Raises FileNotFoundError where the package is not."""
    names, labels, images = [], [], []
    for path, class_name in sorted(_classified(source).items()):
        image = _cut(path)
        if image is not None:
            names.append(path.relative_to(source.resolve()).as_posix())
            labels.append(CLASS_NAMES.index(class_name))
            images.append(image)
    if not images:
        raise FileNotFoundError(f"{source} has no drawings")
    stack = np.stack(images)
    stems = [f"{CLASS_NAMES[label]}/{stem(name)}" for label, name in zip(labels, names, strict=True)]
    return Drawings(stack, np.array(labels, np.int64), tuple(names), tuple(families_of(stems, labels, stack)))


def stem(name: str) -> str:
    """The first two words of a file name, without numbers and words for colour: variants of a drawing share it."""
    words = [re.sub(r"\d+[a-z]?$", "", word) for word in re.split(r"[_\-]+", Path(name).stem.lower())]
    kept = [word for word in words if word and word not in ("bw", "color", "colour")]
    return "_".join(kept[:2])


def _classified(source: Path) -> dict[Path, str]:
    """Real file → class name."""
    places: dict[Path, list[tuple[int, str | None]]] = {}
    for path in source.rglob("*.png"):
        folder = next(_class_folders(path.relative_to(source).parent), None)
        if folder is not None and path.exists():
            places.setdefault(path.resolve(), []).append((folder.count("/"), FOLDERS[folder]))
    classified = {}
    for path, found in places.items():
        depth = max(depth for depth, _ in found)
        classes = {name for own, name in found if own == depth}
        name = classes.pop()
        if name is not None and not classes:
            classified[path] = name
    return classified


def _class_folders(folder: Path) -> Iterator[str]:
    """Those of FOLDERS that hold a folder, the deepest first."""
    for each in (folder, *folder.parents):
        if each.as_posix() in FOLDERS:
            yield each.as_posix()


def _cut(path: Path) -> NDArray[np.uint8] | None:
    """A drawing cut by its alpha, in the middle of a square, uint8 [80, 80, 4]; None for one that is no object on its own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        if image.width * image.height > _LARGEST:
            return None
        image = image.convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError):  # one file of the package is damaged, one immense
        return None
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    small = np.asarray(square.resize((DRAWING_PX, DRAWING_PX), Image.Resampling.BOX))
    covered = float((small[..., 3] > 127).sum())
    share, of_its_own = covered / DRAWING_PX**2, covered / (DRAWING_PX**2 * min(image.size) / side)
    fits = min(image.size) * _LONGEST >= side and share >= _LEAST_COVERED and of_its_own <= _MOST_COVERED
    return small if fits else None
