"""The formats that a selection is written in, one file each. A further format is a file here and a name in EXPORTS."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from selector.output.formats.coco import Coco
from selector.output.formats.croissant import Croissant
from selector.output.formats.exporter import Exporter, HandedOut
from selector.output.formats.imagefolder import ImageFolder
from selector.output.formats.parquet import Parquet
from selector.output.formats.picklist import PickList
from selector.output.formats.webdataset import WebDataset

EXPORTERS: Mapping[str, type[Exporter]] = MappingProxyType(
    {
        "imagefolder": ImageFolder,
        "webdataset": WebDataset,
        "parquet": Parquet,
        "list": PickList,
        "coco": Coco,
        "croissant": Croissant,
    }
)
"""By name, in the order in which they finish: croissant describes what the others wrote."""

__all__ = ["EXPORTERS", "Exporter", "HandedOut"]
