"""The report's tables and bars: classes, files, stage timings, provenance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selector.report.markup import count, duration, percent, section, signed, table, text
from selector.report.values import ClassReport, Failed, ReportInput

FAILURES_SHOWN = 500
_BINS = 24


def class_table(classes: Sequence[ClassReport]) -> str:
    """One line per class: what there was, how it clustered, and the typicality of the chosen against the rest."""
    head = [
        ("Class", "name"),
        ("Images", "number"),
        ("Patches", "number"),
        ("Chosen", "number"),
        ("Clusters", "number"),
        ("Unclustered", "number"),
        ("Method", ""),
        ("T chosen", "number"),
        ("T rest", "number"),
        ("Typicality of chosen and rest", "strip"),
    ]
    rows = [
        [
            text(one.name),
            count(one.images),
            count(one.patches),
            count(one.chosen),
            count(one.clusters) if one.clusters else "–",
            percent(one.unclustered) if one.clusters else "–",
            _method(one),
            _mean(one.typicality_chosen),
            _mean(one.typicality_rest),
            _strip(one),
        ]
        for one in classes
    ]
    lead = (
        "T is the mean typicality of a group of patches. In the small figures the line is the distribution of those left "
        "out and the filled area that of the chosen, on the class's own axis. Click a heading to sort. "
        "An asterisk: k-means took over from hdbscan, for the reason at the class's sheet."
    )
    return section("classes", "Classes", lead, table(head, rows, "Classes", "sortable"))


def _method(one: ClassReport) -> str:
    return f'<span title="{text(one.note)}">{text(one.method)} *</span>' if one.note else text(one.method)


def _mean(values: NDArray[np.float32]) -> str:
    return signed(float(values.mean())) if len(values) else "–"


def _strip(one: ClassReport) -> str:
    """Two histograms on a common axis, each as a share of its own group."""
    both = np.concatenate([one.typicality_chosen, one.typicality_rest])
    if not len(both):
        return "–"
    least, greatest = float(both.min()), float(both.max())
    edges = np.linspace(least, greatest if greatest > least else least + 1.0, _BINS + 1)
    shapes = []
    for values, kind in ((one.typicality_rest, "rest"), (one.typicality_chosen, "picked")):
        share = np.histogram(values, edges)[0] / max(1, len(values))
        shapes.append((share, kind))
    top = max(float(share.max()) for share, _ in shapes)
    drawn = "".join(f'<path class="{kind}" d="{_outline(share / top)}"/>' for share, kind in shapes if share.any())
    label = f"from {signed(least)} to {signed(greatest)}"
    return f'<svg class="dist" viewBox="0 0 {_BINS * 6} 30" role="img" aria-label="{label}"><title>{label}</title>{drawn}</svg>'


def _outline(heights: NDArray[np.float64]) -> str:
    steps = "".join(f"V{29 - 27 * height:.1f}h6" for height in heights.tolist())
    return f"M0 29{steps}V29z"


def files(report: ReportInput) -> str:
    """The counts of files and every file that gave no patch, with its reason."""
    counted = "".join(
        f"<div><dt>{text(name)}</dt><dd>{count(value)}</dd></div>" for name, value in report.counts.items()
    )
    body = f'<dl class="counts">{counted}</dl>'
    shown = report.failures[:FAILURES_SHOWN]
    if not shown:
        return section("files", "Files", "", body + "<p>Every file gave a patch.</p>")
    lead = ""
    if len(shown) < len(report.failures):
        lead = f"The first {len(shown)} of {count(len(report.failures))} files without a patch are listed; outcomes.csv has all."
    head = [("File", "path"), ("Outcome", ""), ("Reason", "reason")]
    return section("files", "Files", lead, body + table(head, [_failed(one) for one in shown], "Files without a patch"))


def _failed(one: Failed) -> list[str]:
    kind = "bad" if one.status in ("failed", "unread", "passed over") else "quiet"
    return [f"<code>{text(one.source)}</code>", f'<span class="tag {kind}">{text(one.status)}</span>', text(one.reason)]


def timings(stages: Sequence[tuple[str, float]]) -> str:
    """Bars of the stages' seconds, on one scale; "" if there are none."""
    if not stages:
        return ""
    total, longest = sum(seconds for _, seconds in stages), max(seconds for _, seconds in stages)
    bars = "".join(
        f'<li><span class="stage">{text(stage)}</span><span class="bar"><i style="width: '
        f'{100 * seconds / longest if longest else 0:.2f}%"></i></span><span class="seconds">{duration(seconds)}</span>'
        f'<span class="share">{percent(seconds / total if total else 0)}</span></li>'
        for stage, seconds in stages
    )
    return section("timings", "Time by stage", f"{duration(total)} in all.", f'<ul class="bars">{bars}</ul>')


def provenance(pairs: Sequence[tuple[str, str]]) -> str:
    """What made this selection, as names and values; "" if nothing is given."""
    if not pairs:
        return ""
    lines = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return section("provenance", "Provenance", "", f'<dl class="facts">{lines}</dl>')
