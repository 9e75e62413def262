"""Picks go out in several formats at once: every original is decoded once, and one pick's pixels are in memory at a time.

manifest.json says of it under "export": what was handed out and how often, the classes, and for every format its settings and
files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from selector.config import ExportConfig
from selector.output.classes import OutputClass
from selector.output.formats import EXPORTERS, HandedOut
from selector.output.picks import picks
from selector.output.pictures import Cut

Pictures = Iterable[Callable[[], bytes]]


def export(
    folder: Path,
    title: str,
    rows: pa.Table,
    classes: tuple[OutputClass, ...],
    cut: Cut,
    config: ExportConfig,
    pictures: Pictures,
) -> dict[str, Any]:
    """Writes the rows of `handed_out` into the folder in every format of the config; returns what the manifest says of these.

    pictures: for every row, what gives its picture's file when a format wants it. Raises what they raise, and OSError.
    """
    shared = HandedOut(title, classes, config.image_format, config.class_folders, config.metadata)
    with ExitStack() as stack:
        exporters = {
            name: stack.enter_context(closing(kind(folder, shared)))
            for name, kind in EXPORTERS.items()
            if name in config.formats
        }
        for pick in picks(rows, classes, cut, pictures):
            for exporter in exporters.values():
                exporter.add(pick)
        files = {name: exporter.finish() for name, exporter in exporters.items()}
    return {name: {**_settings(name, config), "files": files[name]} for name in files}


def _settings(name: str, config: ExportConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if EXPORTERS[name].pictures:
        found = {"size": config.size, "image_format": config.image_format}
    return found | ({"class_folders": config.class_folders} if name == "imagefolder" else {})


def stated(
    picks: int,
    rows: pa.Table,
    classes: Collection[OutputClass],
    cut: Cut,
    config: ExportConfig,
    formats: Mapping[str, Any],
) -> dict[str, Any]:
    """What the manifest says under "export". picks: rows of the selection, of which `rows` are handed out. JSON values."""
    return {
        "take": cut.take,
        "fit": cut.mode,
        "handed_out": len(rows),
        "of_an_image_handed_out_already": picks - len(rows),
        "classes": [asdict(one) for one in classes],
        "metadata": dict(config.metadata),
        "formats": dict(formats),
    }
