"""Tables of finished runs: Markdown for people, CSV and JSON for programs.

Accuracies are shown in percent, differences in points.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from selector.evaluation.intervals import Difference, paired_difference
from selector.evaluation.results import StudentRun


@dataclass(frozen=True)
class Group:
    """Runs that are compared with one another."""

    view: str
    ipc: int
    student: str
    labels: str


@dataclass(frozen=True)
class Line:
    """One method within a group: mean and standard deviation over n pools in percent; difference to the reference."""

    group: Group
    method: str
    n: int
    mean: float
    deviation: float
    best: float
    difference: Difference | None


def lines(runs: Sequence[StudentRun], reference: str, methods: Sequence[str] = ()) -> list[Line]:
    """A line for each view, budget, student, kind of labels and method; differences over the pools that both finished.

    methods: the order of a table's rows; methods that are not in it follow by name.
    """
    rank = {name: place for place, name in enumerate(methods)}
    groups = sorted(
        {Group(view, r.key.ipc, r.key.student, r.key.labels) for r in runs for view in r.last},
        key=lambda g: (g.view, g.student, g.labels, g.ipc),
    )
    found = []
    for group in groups:
        names = {r.key.method for r in runs if _belongs(r, group)}
        for name in sorted(names, key=lambda n: (rank.get(n, len(rank)), n)):
            found.append(_line(runs, group, name, reference))
    return found


def _belongs(run: StudentRun, group: Group) -> bool:
    key = run.key
    return (key.ipc, key.student, key.labels) == (group.ipc, group.student, group.labels) and group.view in run.last


def _line(runs: Sequence[StudentRun], group: Group, method: str, reference: str) -> Line:
    own = {r.key.pool: r for r in runs if _belongs(r, group) and r.key.method == method}
    other = {r.key.pool: r for r in runs if _belongs(r, group) and r.key.method == reference}
    both = sorted(own.keys() & other.keys())
    difference = None
    if both and method != reference:
        ours, theirs = (np.array([100 * of[pool].last[group.view] for pool in both]) for of in (own, other))
        difference = paired_difference(ours, theirs)
    last = np.array([100 * run.last[group.view] for run in own.values()])
    best = np.array([100 * run.best[group.view] for run in own.values()])
    deviation = float(last.std(ddof=1)) if len(last) > 1 else float("nan")
    return Line(group, method, len(own), float(last.mean()), deviation, float(best.mean()), difference)


def as_markdown(table: Sequence[Line], reference: str) -> str:
    """One table for each group, the reference's row without a difference."""
    parts: list[str] = []
    for group in dict.fromkeys(line.group for line in table):
        parts += [
            f"### {group.view} view, IPC {group.ipc}, {group.student}, {group.labels} labels",
            "",
            f"| Method | Accuracy, last step (%) | n | Paired difference to {reference}: 95 % t | bootstrap | Best step* |",
            "|---|---|---|---|---|---|",
            *(_markdown_row(line) for line in table if line.group == group),
            "",
        ]
    parts.append("\\* chosen on the test set, hence not a result. n: pools, each with a student seed of its own.")
    return "\n".join(parts) + "\n"


def _markdown_row(line: Line) -> str:
    gap = line.difference
    shown = ["", ""]
    if gap is not None and gap.n < 2:
        shown = [f"{gap.mean:+.2f} (1 pair)", ""]
    elif gap is not None:
        shown = [
            f"{gap.mean:+.2f} [{gap.t_low:.2f}, {gap.t_high:.2f}]",
            f"[{gap.boot_low:.2f}, {gap.boot_high:.2f}]",
        ]
    spread = f" ± {line.deviation:.1f}" if line.n > 1 else ""
    return f"| {line.method} | {line.mean:.1f}{spread} | {line.n} | {shown[0]} | {shown[1]} | {line.best:.1f} |"


def as_records(table: Sequence[Line]) -> list[dict[str, Any]]:
    """Flat JSON values, one for each line; what is not known is None."""
    records = []
    for line in table:
        gap = asdict(line.difference) if line.difference else {}
        record = {**asdict(line.group), "method": line.method, "n": line.n, "mean": line.mean, "sd": line.deviation}
        record["best_step_mean"] = line.best
        record |= {
            f"difference_{name}": gap.get(name) for name in ("n", "mean", "t_low", "t_high", "boot_low", "boot_high")
        }
        records.append({name: _known(value) for name, value in record.items()})
    return records


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def as_csv(table: Sequence[Line]) -> str:
    """The records with a header line."""
    records = as_records(table)
    buffer = io.StringIO()
    if records:
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return buffer.getvalue()
