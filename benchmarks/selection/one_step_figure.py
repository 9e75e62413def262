"""Scoring once beside every further selection, as bars on a logarithmic axis of seconds: an SVG written by hand.

Owns the drawing. Must not know how the times were taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _ROW = 720, 24
_LEFT, _RIGHT, _TOP, _BOTTOM = 266, 78, 40, 44
_ONCE, _FURTHER = "#d55e00", "#0072b2"


@dataclass(frozen=True)
class _Bar:
    label: str
    seconds: float
    colour: str


def figure(measured: Mapping[str, Any]) -> str:
    """An SVG document of what `one_step.measure` gives: scoring, opening, the first selection and each further one."""
    bars = _bars(measured)
    times = [bar.seconds for bar in bars if bar.seconds > 0]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    height = _TOP + _ROW * len(bars) + _BOTTOM
    title = f"Score once, select often: {measured['images']:,} images of {measured['classes']} classes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>',
        *_axis(low, max(high, low + 1), height),
    ]
    for place, bar in enumerate(bars):
        parts += _drawn(bar, _TOP + _ROW * place, low, max(high, low + 1))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(measured: Mapping[str, Any]) -> Sequence[_Bar]:
    scored, stored = measured["unet_rows"], measured["unet_rows_in_store"]
    part = "" if scored == stored else f", {scored:,} of {stored:,} UNet rows"
    once = [
        _Bar(f"scoring, once{part}", measured["scoring_seconds"], _ONCE),
        _Bar("first selection: orders are made", measured["first_selection_seconds"], _ONCE),
    ]
    further = [_Bar(f"IPC {ipc}", seconds, _FURTHER) for ipc, seconds in measured["selection_seconds_by_ipc"].items()]
    return [*once, _Bar("opening the store", measured["open_seconds"], _FURTHER), *further]


def _x(seconds: float, low: int, high: int) -> float:
    share = (math.log10(seconds) - low) / (high - low) if seconds > 0 else 0.0
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _axis(low: int, high: int, height: int) -> list[str]:
    parts = []
    for power in range(low, high + 1):
        x = _x(10.0**power, low, high)
        parts.append(f'<path d="M{x:.1f} {_TOP - 6}V{height - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - _BOTTOM + 16}" text-anchor="middle">{10.0**power:g}</text>')
    middle, told = (_LEFT + _WIDTH - _RIGHT) / 2, "seconds, logarithmic; orange: once, blue: for every selection"
    parts.append(f'<text x="{middle}" y="{height - 8}" text-anchor="middle">{told}</text>')
    return parts


def _drawn(bar: _Bar, top: int, low: int, high: int) -> list[str]:
    end, middle = _x(bar.seconds, low, high), top + _ROW / 2 + 4
    return [
        f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{_LEFT}" y="{top + 3}" width="{max(1.0, end - _LEFT):.1f}" height="{_ROW - 6}" fill="{bar.colour}"/>',
        f'<text x="{end + 6:.1f}" y="{middle}">{bar.seconds:,.3g} s</text>',
    ]
