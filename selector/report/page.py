"""report.html: puts the sections together into one file that needs no network and makes no request."""

from __future__ import annotations

from importlib.resources import files as resources
from pathlib import Path

import numpy as np

from selector.folders.files import write_text
from selector.report import tables
from selector.report.maps import typicality_maps
from selector.report.markup import count, duration, text
from selector.report.sheets import contact_sheets
from selector.report.values import ReportInput

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself then refuses every request."""

_LINKS = {
    "picks": "Picks",
    "maps": "Maps",
    "classes": "Classes",
    "files": "Files",
    "timings": "Time",
    "provenance": "Provenance",
}


def write_report(path: Path, report: ReportInput) -> Path:
    """Writes the page to `path` (temporary name, then rename), making its folder if need be, and returns `path`.

    Raises FileError.
    """
    write_text(path, render(report))
    return path


def render(report: ReportInput) -> str:
    """The page. The same report gives the same text."""
    sections = {
        "picks": contact_sheets(report.classes),
        "maps": typicality_maps(report.scenes),
        "classes": tables.class_table(report.classes),
        "files": tables.files(report),
        "timings": tables.timings(report.timings),
        "provenance": tables.provenance(report.provenance),
    }
    links = "".join(f'<a href="#{name}">{label}</a>' for name, label in _LINKS.items() if sections[name])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{text(report.title)}</title><style>{_resource('style.css')}</style></head><body>"
        '<a class="skip" href="#picks">Skip to the picks</a>'
        f'<div class="top"><div><nav aria-label="Sections">{links}</nav>'
        '<button type="button" id="scheme" hidden>Dark</button></div></div>'
        f'<header><h1>{text(report.title)}</h1><p class="lead">{_subtitle(report)}</p>{_headline(report)}'
        f"</header><main>{''.join(sections.values())}</main>"
        '<div id="about" role="status" hidden></div>'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return resources("selector.report").joinpath(name).read_text(encoding="utf-8")


def _subtitle(report: ReportInput) -> str:
    return f"{report.ipc} image{'s' * (report.ipc != 1)} per class, in the order “{text(report.order)}”."


def _headline(report: ReportInput) -> str:
    picks = sum(one.chosen for one in report.classes)
    tiles = [(count(picks), f"picks in {count(len(report.classes))} classes")]
    if {"seen", "scored"} <= report.counts.keys():
        tiles.append((count(report.counts["scored"]), f"of {count(report.counts['seen'])} files scored"))
    in_store = report.unet_rows_in_store
    spent = "UNet evaluations by this run" + (f", {count(in_store)} in the store" if in_store is not None else "")
    tiles.append((count(report.unet_rows), spent))
    gap = typicality_gap(report)
    if gap is not None:
        tiles.append((f"{gap:+.2f} SD".replace("-", "−"), "typicality of the chosen against the rest, mean of classes"))
    if report.timings:
        tiles.append((duration(sum(seconds for _, seconds in report.timings)), "in all stages"))
    drawn = "".join(f"<div><dd>{text(value)}</dd><dt>{text(label)}</dt></div>" for value, label in tiles)
    return f'<dl class="tiles">{drawn}</dl>'


def typicality_gap(report: ReportInput) -> float | None:
    """Mean over classes of (mean chosen − mean rest) / standard deviation of all; None if no class has both."""
    gaps = []
    for one in report.classes:
        spread = float(np.concatenate([one.typicality_chosen, one.typicality_rest]).std()) if one.patches else 0.0
        if len(one.typicality_chosen) and len(one.typicality_rest) and spread > 0:
            gaps.append(float(one.typicality_chosen.mean() - one.typicality_rest.mean()) / spread)
    return float(np.mean(gaps)) if gaps else None
