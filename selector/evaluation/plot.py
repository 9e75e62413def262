"""Accuracy over IPC with bands, as an SVG document. Bands are 95 % t intervals of the mean over pools."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from selector.curves import Curve, drawn
from selector.evaluation.tables import Line


def accuracy_over_ipc(table: Sequence[Line], title: str) -> str:
    """The lines of one view, student and kind of labels; IPC on a logarithmic axis."""
    curves = []
    for method in dict.fromkeys(line.method for line in table):
        own = sorted((line for line in table if line.method == method), key=lambda line: line.group.ipc)
        means, reaches = [line.mean for line in own], [_reach(line) for line in own]
        low, high = ([m + side * r for m, r in zip(means, reaches, strict=True)] for side in (-1, 1))
        curves.append(Curve(method, [line.group.ipc for line in own], means, low, high))
    return drawn(curves, f"{title}: accuracy, %", "images per class")


def _reach(line: Line) -> float:
    """Half the 95 % interval of a line's mean; 0 for a single pool."""
    return float(stats.t.ppf(0.975, line.n - 1) * line.deviation / math.sqrt(line.n)) if line.n > 1 else 0.0
