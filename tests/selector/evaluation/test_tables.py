"""Tables: pairing, grouping and what is left out."""

from __future__ import annotations

import csv
import io

import pytest

from selector.evaluation.results import RunKey, StudentRun
from selector.evaluation.tables import as_csv, as_markdown, as_records, lines


def run(method: str, pool: int, last: float, ipc: int = 10) -> StudentRun:
    key = RunKey(method, pool, ipc, "convnet", "soft")
    return StudentRun(key, pool, {"object": last}, {"object": last + 0.01}, [5], {"object": [last]}, 1.0)


def test_differences_are_over_the_pools_that_both_have_finished() -> None:
    """The third pool of rded has no partner, and without it the difference is 10 points."""
    runs = [
        run("rded", 0, 0.6),
        run("rded", 1, 0.5),
        run("rded", 2, 0.1),
        run("herding", 0, 0.7),
        run("herding", 1, 0.6),
    ]
    table = {line.method: line for line in lines(runs, "rded")}
    assert table["herding"].difference is not None
    assert table["herding"].difference.mean == pytest.approx(10.0)
    assert table["herding"].difference.n == 2
    assert table["rded"].mean == pytest.approx(40.0)
    assert table["rded"].difference is None


def test_budgets_are_never_mixed() -> None:
    runs = [run("rded", 0, 0.2, ipc=1), run("rded", 0, 0.6, ipc=10), run("herding", 0, 0.7, ipc=10)]
    table = {(line.group.ipc, line.method): line for line in lines(runs, "rded")}
    assert table[1, "rded"].mean == pytest.approx(20.0)
    assert set(table) == {(1, "rded"), (10, "rded"), (10, "herding")}


def test_markdown_marks_the_best_step_and_states_n() -> None:
    runs = [run("rded", 0, 0.6), run("rded", 1, 0.5), run("herding", 0, 0.7)]
    text = as_markdown(lines(runs, "rded", ["herding", "rded"]), "rded")
    assert "| herding | 70.0 | 1 | +10.00 (1 pair) |  | 71.0 |" in text
    assert text.index("| herding") < text.index("| rded")
    assert "Best step*" in text


def test_csv_and_records_say_the_same() -> None:
    table = lines([run("rded", 0, 0.6), run("herding", 0, 0.7)], "rded")
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["method"] for row in rows] == [record["method"] for record in as_records(table)]
    assert rows[0]["difference_t_low"] == ""  # one pair has no interval
    assert as_csv([]) == ""
