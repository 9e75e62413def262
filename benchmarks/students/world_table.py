"""One table of one world, kind of labels and view: methods down, budgets across, each beside what it is compared with.

python -m benchmarks.students.world_table OUT --labels hard --view object --reference herding
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import click

from benchmarks.students.section import chosen
from selector.evaluation.results import read_runs
from selector.evaluation.tables import Line


def table(lines: Sequence[Line], reference: str, methods: Sequence[str] = ()) -> str:
    """Markdown. A cell: accuracy in percent ± standard deviation over pools, then the paired difference to the reference.

    methods: which rows there are, in their order; none: all, as they come.
    """
    budgets = list(dict.fromkeys(line.group.ipc for line in lines))
    by_place = {(line.method, line.group.ipc): line for line in lines}
    parts = [
        f"| Method | {' | '.join(f'IPC {ipc}' for ipc in budgets)} |",
        "|---" * (1 + len(budgets)) + "|",
        *(
            f"| {_name(method, reference)} | {' | '.join(_cell(by_place.get((method, ipc))) for ipc in budgets)} |"
            for method in methods or dict.fromkeys(line.method for line in lines)
        ),
        "",
        f"Accuracy (%) ± standard deviation over pools; difference to {reference}, paired by pool [95 % t interval]; n pools.",
    ]
    return "\n".join(parts) + "\n"


def _name(method: str, reference: str) -> str:
    return f"**{method}**" if method == reference else method


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    spread = f" ± {line.deviation:.1f}" if line.n > 1 else ""
    gap = line.difference
    if gap is None:
        return f"{line.mean:.1f}{spread}, n {line.n}"
    if gap.n < 2:
        return f"{line.mean:.1f}, {gap.mean:+.1f} (1 pair)"
    return f"{line.mean:.1f}{spread}, {gap.mean:+.1f} [{gap.t_low:.1f}, {gap.t_high:.1f}], n {gap.n}"


@click.command()
@click.argument("outs", type=click.Path(path_type=Path, exists=True, file_okay=False), nargs=-1, required=True)
@click.option("--view", required=True, help="Test view, object or whole.")
@click.option("--labels", required=True, help="hard or soft.")
@click.option("--student", default="convnet", show_default=True, help="Architecture.")
@click.option("--reference", default="herding", show_default=True, help="Method that the others are compared with.")
@click.option("--methods", default="", help="Order of the rows, with commas; other methods follow by name.")
def main(outs: tuple[Path, ...], view: str, labels: str, student: str, reference: str, methods: str) -> None:
    """Print the table of the evaluations in OUTS, whose pools and seeds are the same."""
    runs = list(chain.from_iterable(read_runs(out) for out in outs))
    order = [name for name in methods.split(",") if name]
    lines = chosen(runs, reference, order, views=[view], students=[student], labels=[labels])
    click.echo(table(lines, reference, order), nl=False)


if __name__ == "__main__":
    main()
