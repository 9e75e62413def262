"""The values that cross the selector's module boundaries. Knows numpy and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Box:
    """A box in whole pixels: of the canvas or of the original image, as the holder says."""

    top: int
    left: int
    height: int
    width: int

    def overlap(self, other: Box) -> float:
        """Intersection over union."""
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        common = max(0, height) * max(0, width)
        return common / (self.height * self.width + other.height * other.width - common)

    def points_at(self, true: Box) -> bool:
        """Whether the centre of this box lies in the other."""
        row, column = self.top + self.height / 2, self.left + self.width / 2
        return true.top <= row < true.top + true.height and true.left <= column < true.left + true.width


class Features(Protocol):
    """float16 [n, F], L2-normalised, in memory or still on disk: np.asarray(features) reads them.

    An index array or a mask gives the features of these rows. An array is one of these.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...

    def __array__(self) -> NDArray[Any]: ...


class Texts(Protocol):
    """n texts: an object array, or texts that have no Python object each. A number gives a text, an array of rows texts."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[str]: ...

    def tolist(self) -> list[str]:
        """All texts."""


@dataclass(frozen=True)
class PatchTable:
    """Patches as columns of equal length n, sorted by (class_id, image_id, patch_rank).

    class_id: int32 [n]. image_id: <U16 [n]. source: n texts, where the image lies in the data. patch_rank: int32 [n], 0 for
    an image's best window. top, left, height, width: int32 [n], pixels of the original after EXIF rotation.
    typicality, standard_error: float32 [n]. draws: int32 [n]. features: float16 [n, F], L2-normalised, maybe unread.
    """

    class_id: NDArray[np.int32]
    image_id: NDArray[np.str_]
    source: Texts
    patch_rank: NDArray[np.int32]
    top: NDArray[np.int32]
    left: NDArray[np.int32]
    height: NDArray[np.int32]
    width: NDArray[np.int32]
    typicality: NDArray[np.float32]
    standard_error: NDArray[np.float32]
    draws: NDArray[np.int32]
    features: Features

    def __len__(self) -> int:
        return len(self.class_id)

    def box(self, row: int) -> Box:
        """The box of one patch, in pixels of the original."""
        return Box(int(self.top[row]), int(self.left[row]), int(self.height[row]), int(self.width[row]))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> PatchTable:
        """The table of these rows, in their order."""
        return replace(self, **{name: column[rows] for name, column in vars(self).items()})


@dataclass(frozen=True)
class ClassOrder:
    """One total order of a class's n patches, independent of IPC.

    permutation: int64 [n], row numbers best first. cluster_label: int32 [n] by row number, -1 is unclustered.
    membership: float32 [n] by row number, in [0, 1]. clusters: number of clusters. unclustered: share in [0, 1].
    method: what clustered ("hdbscan", "kmeans" or "none"). note: why a fallback was taken, "" if none was.
    """

    permutation: NDArray[np.int64]
    cluster_label: NDArray[np.int32]
    membership: NDArray[np.float32]
    clusters: int
    unclustered: float
    method: str
    note: str = ""
