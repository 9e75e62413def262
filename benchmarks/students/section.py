"""The part of an evaluation that one section of a document shows, as Markdown, from its finished runs.

Owns this choice and its command. Must not know how runs came about.

    python -m benchmarks.students.section OUT --ipc 10 --view object --labels soft
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from selector.errors import UsageError
from selector.evaluation.results import StudentRun, read_runs
from selector.evaluation.tables import Line, as_markdown, lines


def chosen(
    runs: Sequence[StudentRun],
    reference: str,
    methods: Sequence[str],
    *,
    views: Sequence[str] = (),
    ipc: Sequence[int] = (),
    students: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> list[Line]:
    """The lines of these views, budgets, students and kinds of labels, in this order; all where none is named.

    Raises UsageError if there is no such run.
    """
    table = [
        line
        for line in lines(runs, reference, methods)
        if (not views or line.group.view in views)
        and (not ipc or line.group.ipc in ipc)
        and (not students or line.group.student in students)
        and (not labels or line.group.labels in labels)
    ]
    if not table:
        raise UsageError("no finished run is of that kind")
    return table


def _parts(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


@click.command()
@click.argument("out", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--view", "views", default="object", show_default=True, callback=_parts, help="Test views.")
@click.option("--ipc", default="", callback=_parts, help="Budgets; default: all.")
@click.option("--students", default="convnet", show_default=True, callback=_parts, help="Architectures.")
@click.option("--labels", default="soft", show_default=True, callback=_parts, help="Kinds of labels.")
@click.option("--reference", default="rded", show_default=True, help="Method that the others are compared with.")
@click.option("--methods", default="", callback=_parts, help="Order of the rows; other methods follow by name.")
def main(
    out: Path,
    views: tuple[str, ...],
    ipc: tuple[str, ...],
    students: tuple[str, ...],
    labels: tuple[str, ...],
    reference: str,
    methods: tuple[str, ...],
) -> None:
    """Print the tables of a part of the evaluation in OUT."""
    budgets = [int(number) for number in ipc]
    table = chosen(read_runs(out), reference, methods, views=views, ipc=budgets, students=students, labels=labels)
    click.echo(as_markdown(table, reference), nl=False)


if __name__ == "__main__":
    main()
