"""Accuracy over IPC with bands, as an SVG written by hand. Bands are 95 % t intervals of the mean over pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from scipy import stats

from selector.evaluation.tables import Line

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 160, 34, 40
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#000000", "#7f5af0", "#8c564b", "#5f9e2f", "#999999", "#b2182b",
)  # fmt: skip


def accuracy_over_ipc(table: Sequence[Line], title: str) -> str:
    """The lines of one view, student and kind of labels as an SVG document; IPC on a logarithmic axis."""
    budgets = sorted({line.group.ipc for line in table})
    reaches = [line.mean + side * _reach(line) for line in table for side in (-1, 1)]
    low, high = 5 * math.floor(min(reaches) / 5), 5 * math.ceil(max(reaches) / 5)
    scale = _Scale(budgets, low, max(high, low + 5))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}: accuracy, %</text>',
        *_axes(scale),
    ]
    for place, method in enumerate(dict.fromkeys(line.method for line in table)):
        own = sorted((line for line in table if line.method == method), key=lambda line: line.group.ipc)
        parts += _series(own, scale, _COLOURS[place % len(_COLOURS)], place)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale:
    """From (IPC, percent) to SVG units."""

    def __init__(self, budgets: Sequence[int], low: float, high: float) -> None:
        self.budgets, self.low, self.high = budgets, low, high

    def x(self, ipc: int) -> float:
        first, last = math.log(self.budgets[0]), math.log(self.budgets[-1])
        share = (math.log(ipc) - first) / (last - first) if last > first else 0.5
        return _LEFT + 12 + share * (_WIDTH - _LEFT - _RIGHT - 24)

    def y(self, percent: float) -> float:
        return _HEIGHT - _BOTTOM - (percent - self.low) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale) -> list[str]:
    parts = []
    step = 5 if scale.high - scale.low <= 50 else 10
    for percent in range(int(scale.low), int(scale.high) + 1, step):
        y = scale.y(percent)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
    for ipc in scale.budgets:
        parts.append(f'<text x="{scale.x(ipc):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{ipc}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">images per class</text>')
    return parts


def _series(own: Sequence[Line], scale: _Scale, colour: str, place: int) -> list[str]:
    points = [(scale.x(line.group.ipc), line) for line in own]
    upper = [f"{x:.1f},{scale.y(line.mean + _reach(line)):.1f}" for x, line in points]
    lower = [f"{x:.1f},{scale.y(line.mean - _reach(line)):.1f}" for x, line in reversed(points)]
    path = " ".join(f"{x:.1f},{scale.y(line.mean):.1f}" for x, line in points)
    dots = [f'<circle cx="{x:.1f}" cy="{scale.y(line.mean):.1f}" r="3" fill="{colour}"/>' for x, line in points]
    y = _TOP + 10 + 18 * place
    return [
        f'<polygon points="{" ".join(upper + lower)}" fill="{colour}" fill-opacity=".12"/>',
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
        *dots,
        f'<path d="M{_WIDTH - _RIGHT + 10} {y - 4}h16" stroke="{colour}" stroke-width="3"/>',
        f'<text x="{_WIDTH - _RIGHT + 32}" y="{y}">{escape(own[0].method)}</text>',
    ]


def _reach(line: Line) -> float:
    """Half the 95 % interval of a line's mean; 0 for a single pool."""
    return float(stats.t.ppf(0.975, line.n - 1) * line.deviation / math.sqrt(line.n)) if line.n > 1 else 0.0
