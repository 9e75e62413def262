"""Pools: resampled subsets of the scored images, on which methods compete.

Pools do not share an image as long as a class has enough of them; after that another shuffle is dealt out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selector.errors import UsageError
from selector.evaluation.pictures import Pictures, read_pictures
from selector.images.listing import Listing
from selector.records import Box, PatchTable


@dataclass(frozen=True)
class Pool:
    """Scored images of every class: their pictures, and their patches as a table that the orders of `select` take.

    patch_of: int64 [images], the table's row of each picture's best patch. class_names: class_id → name. Classes are numbered
    as the teacher's are: 0, 1, … in the order of the store's class_ids, of which a data set may have some alone.
    """

    number: int
    seed: int
    class_names: dict[int, str]
    pictures: Pictures
    patches: PatchTable
    patch_of: NDArray[np.int64]

    def box(self, row: int) -> Box:
        """The box of a row of the table."""
        table = self.patches
        return Box(int(table.top[row]), int(table.left[row]), int(table.height[row]), int(table.width[row]))

    def window(self, picture: int) -> Box:
        """This system's best window of a picture."""
        return self.box(int(self.patch_of[picture]))


def pool_rows(table: PatchTable, pools: int, size: int, seed: int) -> list[NDArray[np.int64]]:
    """For each pool its rows of the table, sorted: all patches of `size` images of every class."""
    first = np.flatnonzero(table.patch_rank == 0)
    chosen: list[list[NDArray[np.str_]]] = [[] for _ in range(pools)]
    for class_id in np.unique(table.class_id):
        own = np.sort(table.image_id[first[table.class_id[first] == class_id]])
        if len(own) < size:
            raise UsageError(f"--pool-size {size} is more than the {len(own)} scored images of class {class_id}")
        for number in range(pools):
            turn, place = divmod(number, len(own) // size)
            shuffled = np.random.default_rng([seed, int(class_id), turn]).permutation(own)
            chosen[number].append(shuffled[place * size : (place + 1) * size])
    return [np.flatnonzero(np.isin(table.image_id, np.concatenate(ids))) for ids in chosen]


def resampled(
    table: PatchTable, class_names: dict[int, str], listing: Listing, pools: int, size: int, seed: int
) -> Iterator[Pool]:
    """The pools one after another, each with a seed of its own; pictures are read when its turn comes."""
    table, class_names = _numbered_densely(table, class_names)
    for number, rows in enumerate(pool_rows(table, pools, size, seed)):
        patches = table.take(rows)
        labels = {str(source): int(c) for source, c in zip(patches.source, patches.class_id, strict=True)}
        pictures = read_pictures(listing, labels)
        best = {str(patches.source[row]): int(row) for row in np.flatnonzero(patches.patch_rank == 0)}
        own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        patch_of = np.array([best[source] for source in pictures.sources], dtype=np.int64)
        yield Pool(number, own_seed, class_names, pictures, patches, patch_of)


def _numbered_densely(table: PatchTable, class_names: dict[int, str]) -> tuple[PatchTable, dict[int, str]]:
    numbers = sorted(class_names)
    places = np.searchsorted(numbers, table.class_id).astype(table.class_id.dtype)
    return replace(table, class_id=places), {place: class_names[number] for place, number in enumerate(numbers)}
