"""What is handed out, one pick after another: rank by rank, and within a rank class by class.

So the beginning of a file of picks is a smaller set, with every class in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from selector.output.classes import OutputClass
from selector.output.pictures import Cut
from selector.records import Box

_BATCH = 1_000


@dataclass(frozen=True)
class Pick:
    """A pick as formats write it.

    of: its class. folder: the class folder of the data. box: what is handed out of the original, whose size is image_height ×
    image_width. make: makes the bytes of the picture's file.
    """

    of: OutputClass
    folder: str
    rank: int
    image_id: str
    source: str
    box: Box
    image_height: int
    image_width: int
    typicality: float
    make: Callable[[], bytes]

    @cached_property
    def picture(self) -> bytes:
        """The bytes of the picture's file, made when a format first asks for them."""
        return self.make()

    @property
    def name(self) -> str:
        """What tells the pick apart within its class."""
        return pick_name(self.rank, self.image_id)

    @property
    def key(self) -> str:
        """What tells the pick apart within the set; no dot and no slash is in it."""
        return pick_key(self.of.index, self.rank, self.image_id)

    def facts(self) -> dict[str, Any]:
        """What formats with columns say of the pick. JSON values."""
        return {
            "class_key": self.of.key,
            "class_name": self.of.name,
            "rank": self.rank,
            "image_id": self.image_id,
            "source": self.source,
            "top": self.box.top,
            "left": self.box.left,
            "height": self.box.height,
            "width": self.box.width,
            "image_height": self.image_height,
            "image_width": self.image_width,
            "typicality": self.typicality,
        }


def pick_name(rank: int, image_id: str) -> str:
    """What tells a pick apart within its class, and sorts it by rank."""
    return f"{rank:04d}_{image_id}"


def pick_key(index: int, rank: int, image_id: str) -> str:
    """What tells a pick apart within the set. index: of its class."""
    return f"{index:05d}_{pick_name(rank, image_id)}"


def handed_out(table: pa.Table, take: str) -> pa.Table:
    """The rows of `selection_table` that are handed out, in order.

    With whole images, each image is handed out once for its class, at its best rank.
    """
    rank, class_id = table["rank"].to_numpy(), table["class_id"].to_numpy()
    rows = np.lexsort((class_id, rank))
    if take == "image":
        images = zip(class_id[rows].tolist(), table["image_id"].take(pa.array(rows)).to_pylist(), strict=True)
        seen: dict[tuple[int, str], int] = {}
        for row, image in zip(rows.tolist(), images, strict=True):
            seen.setdefault(image, row)
        rows = np.array(list(seen.values()), dtype=np.int64)
    return table.take(pa.array(rows))


def records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows one by one; few are in memory as Python objects."""
    for batch in rows.to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()


def window(row: dict[str, Any]) -> Box:
    """The chosen window of a row of `selection_table`."""
    return Box(row["top"], row["left"], row["height"], row["width"])


def picks(
    rows: pa.Table, classes: Sequence[OutputClass], cut: Cut, pictures: Iterable[Callable[[], bytes]]
) -> Iterator[Pick]:
    """The rows as picks. pictures: one for each row."""
    for row, picture in zip(records(rows), pictures, strict=True):
        height, width = row["image_height"], row["image_width"]
        yield Pick(
            of=classes[row["class_index"]],
            folder=row["class_folder"],
            rank=row["rank"],
            image_id=row["image_id"],
            source=row["source"],
            box=cut.box(window(row), height, width),
            image_height=height,
            image_width=width,
            typicality=row["typicality"],
            make=picture,
        )
