"""What every kind of teacher is once it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Loaded:
    """A teacher as its file or name gives it; None is what that does not say.

    answer: float32 [n, 3, S, S] → [n, classes]. name: of the file, without its folder, or as it was asked for. digest: of its
    bytes, or of its weights. class_names: of the outputs, in order. rows: pictures that it takes at once, if it takes no other
    number.
    """

    answer: Callable[[NDArray[np.float32]], NDArray[Any]]
    name: str
    kind: str
    digest: str
    side_px: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    rows: int | None = None
