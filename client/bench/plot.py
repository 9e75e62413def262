"""Latency against load as one self-contained HTML page: an SVG, and the numbers behind it as a table.

No script and nothing loaded from elsewhere; values show when the pointer rests on a mark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from client.bench.measure import Level
from client.bench.report import Report

PERCENTS = (50, 95, 99)
COLOURS = ("#2a78d6", "#1baf7a", "#eda100")
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 74, 16, 46

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
:root {{ --surface: #fcfcfb; --text: #1b1b19; --soft: #6b6a66; --grid: #e4e3df; color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --surface: #1a1a19; --text: #efeee9; --soft: #a3a29c; --grid: #35342f; }}
}}
body {{ background: var(--surface); color: var(--text); font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 52rem; padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }} svg text {{ fill: var(--soft); font-size: 12px; }}
.grid {{ stroke: var(--grid); }} .line {{ fill: none; stroke-width: 2; }} .dot {{ stroke: var(--surface); stroke-width: 2; }}
svg text.name {{ fill: var(--text); }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
td, th {{ padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--grid); }} p {{ color: var(--soft); }}
</style></head><body><h1>{title}</h1><p>{note}</p>{drawing}{table}</body></html>
"""


def page(report: Report) -> str:
    """The page. Levels are drawn in ascending load; one that was not stable is drawn hollow."""
    levels = sorted(report.levels, key=lambda level: level.load)
    note = (
        f"{report.request_rows} rows a request; tritonserver {report.server_version}, {report.cores} cores. Hollow marks: "
        "not stable within 10 % over three intervals."
    )
    title = f"{report.config.model}: latency against {_load_name(levels[0])}"
    return _PAGE.format(
        title=html.escape(title), note=html.escape(note), drawing=_drawing(levels), table=_numbers(levels)
    )


def _drawing(levels: Sequence[Level]) -> str:
    top_ms = _ceiling(max(level.latency.at(PERCENTS[-1]) for level in levels))
    most = _ceiling(max(level.load for level in levels))

    def x(load: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * load / most

    def y(ms: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ms / top_ms

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="latency against load">']
    for step in range(5):
        ms, load = top_ms * step / 4, most * step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(ms):.1f}" y2="{y(ms):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g}</text>')
        parts.append(f'<text x="{x(load):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{load:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{_load_name(levels[0])}</text>'
    )
    parts.append(
        f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">ms</text>'
    )
    names = _spread([y(levels[-1].latency.at(percent)) for percent in PERCENTS])
    for percent, colour, name_y in zip(PERCENTS, COLOURS, names, strict=True):
        points = [(x(level.load), y(level.latency.at(percent)), level) for level in levels]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in points)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        parts += [_mark(px, py, colour, percent, level) for px, py, level in points]
        parts.append(f'<text class="name" x="{points[-1][0] + 12:.1f}" y="{name_y + 4:.1f}">p{percent}</text>')
    return "".join([*parts, "</svg>"])


def _mark(x: float, y: float, colour: str, percent: int, level: Level) -> str:
    fill = f'fill="{colour}" class="dot"' if level.verdict.stable else f'fill="var(--surface)" stroke="{colour}"'
    tip = f"p{percent} {level.latency.at(percent):.2f} ms at {level.load:g}: {level.rows_per_s:.1f} rows/s"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {fill}><title>{html.escape(tip)}</title></circle>'


def _spread(wanted: Sequence[float], gap: float = 14.0) -> list[float]:
    """Heights of labels at least a gap apart, near where they are wanted; the given ones descend on the page or tie."""
    placed: list[float] = []
    for height in wanted:
        placed.append(height if not placed else min(height, placed[-1] - gap))
    return placed


def _numbers(levels: Sequence[Level]) -> str:
    heads = (_load_name(levels[0]), "rows/s", "requests/s", *(f"p{p} ms" for p in PERCENTS), "stable")
    rows = [
        (
            f"{level.load:g}",
            f"{level.rows_per_s:.1f}",
            f"{level.requests_per_s:.1f}",
            *(f"{level.latency.at(p):.2f}" for p in PERCENTS),
            "yes" if level.verdict.stable else "no",
        )
        for level in levels
    ]
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _load_name(level: Level) -> str:
    return "requests in flight" if level.mode == "concurrency" else "offered requests/s"


def _ceiling(value: float) -> float:
    """The next round number: 1, 2, 4, 5 or 8 times a power of ten, so that quarters of it are short to write."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value)
