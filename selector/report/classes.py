"""The report's classes out of a selection: what was chosen and how it compares with the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from selector.records import Box, PatchTable
from selector.report.values import ClassReport, Pick
from selector.selection.selection import Selection

SHOWN_PER_CLASS = 100
"""Picks of a class that get a thumbnail; the page says so when there are more."""

SHOWN_IN_ALL = 6_000
"""Thumbnails on the page (1.5 to 2.5 kB each): with more classes, each shows fewer."""


def shown_of(classes: int, shown_per_class: int = SHOWN_PER_CLASS) -> int:
    """How many picks of a class get a thumbnail, where there are so many classes."""
    return max(1, min(shown_per_class, SHOWN_IN_ALL // max(1, classes)))


def class_reports(
    selection: Selection,
    table: PatchTable,
    class_names: Sequence[str] | Mapping[int, str],
    thumbnail: Callable[[str, Box], str],
    *,
    shown_per_class: int = SHOWN_PER_CLASS,
) -> tuple[ClassReport, ...]:
    """One ClassReport per class of the selection, by class_id, with thumbnails of the picks that are shown.

    thumbnail: gives the window of a source, in pixels of the original, as a data URI. Raises what it raises.
    """
    shown = shown_of(len(selection.orders), shown_per_class)
    return tuple(
        _class_report(selection, table, number, class_names[number], thumbnail, shown) for number in selection.orders
    )


def _class_report(
    selection: Selection, table: PatchTable, class_id: int, name: str, thumbnail: Callable[[str, Box], str], shown: int
) -> ClassReport:
    made, rows = selection.orders[class_id], selection.class_rows[class_id]
    places = np.flatnonzero(selection.class_id == class_id)
    chosen = selection.row[places]
    rest = rows[~np.isin(rows, chosen)]
    return ClassReport(
        name=name,
        images=len(np.unique(table.image_id[rows])),
        patches=len(rows),
        chosen=len(places),
        clusters=made.clusters,
        unclustered=made.unclustered,
        method=made.method,
        note=made.note,
        typicality_chosen=table.typicality[np.unique(chosen)],
        typicality_rest=table.typicality[rest],
        picks=tuple(_pick(selection, table, int(place), thumbnail) for place in places[:shown]),
    )


def _pick(selection: Selection, table: PatchTable, place: int, thumbnail: Callable[[str, Box], str]) -> Pick:
    row = int(selection.row[place])
    box, source = table.box(row), str(table.source[row])
    return Pick(
        rank=int(selection.rank[place]),
        image_id=str(table.image_id[row]),
        source=source,
        box=box,
        typicality=float(table.typicality[row]),
        standard_error=float(table.standard_error[row]),
        cluster_label=int(selection.cluster_label[place]),
        membership=float(selection.membership[place]),
        picture=thumbnail(source, box),
    )
