"""Items as the gzipped IDX files of Fashion-MNIST's train split."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from benchmarks.scenes.items import ITEM_PX, Items


def write_idx(folder: Path, items: Items) -> None:
    """Writes both files into the folder."""
    header = struct.pack(">4i", 0x0803, len(items.labels), ITEM_PX, ITEM_PX)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + items.images.tobytes()))
    header = struct.pack(">2i", 0x0801, len(items.labels))
    content = header + items.labels.astype(np.uint8).tobytes()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
