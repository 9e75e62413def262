"""A small clip art package, drawn: seven drawings of each class as PNG files of the package's folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.scenes.clipart import CLASS_NAMES, FOLDERS

DRAWN = 7


def write_clipart(source: Path) -> None:
    """Shapes of every class in its first folder, no two of a class alike."""
    rng = np.random.default_rng(4)
    for class_name in CLASS_NAMES:
        folder = source / next(folder for folder, name in FOLDERS.items() if name == class_name)
        folder.mkdir(parents=True)
        for i in range(DRAWN):
            draw_blots(rng).save(folder / f"{class_name}{'abcdefg'[i]}_thing_01.png")


def draw_blots(rng: np.random.Generator) -> Image.Image:
    """A few ellipses in random colours on nothing, 120 px."""
    image = Image.new("RGBA", (120, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 100, 100), fill=tuple(rng.integers(256, size=3).tolist()))
    for left, top in rng.integers(10, 70, size=(6, 2)).tolist():
        draw.ellipse((left, top, left + 40, top + 30), fill=tuple(rng.integers(256, size=3).tolist()))
    return image
