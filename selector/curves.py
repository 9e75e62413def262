"""Curves with bands over a logarithmic axis, as an SVG document; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO


@dataclass(frozen=True)
class Curve:
    """One line: y over x, ascending, and the ends of its band."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def drawn(curves: Sequence[Curve], title: str, x_label: str) -> str:
    """The SVG. Every x of a curve is a tick, as far as there is room."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "curves", "font.size": 9}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for curve in curves:
            (line,) = axes.plot(curve.x, curve.y, marker="o", markersize=3, linewidth=1.4, label=curve.name)
            axes.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set_xscale("log", base=2)
        ticks = sorted({x for curve in curves for x in curve.x})
        axes.xaxis.set_major_locator(FixedLocator(ticks, nbins=12))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(title=title, xlabel=x_label)
        axes.grid(axis="y", alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
