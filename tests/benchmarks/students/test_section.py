"""A section: which runs it shows, by an evaluation's folder as it is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.students.section import main
from selector.evaluation.results import Results, RunKey, StudentRun


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two methods, two budgets, soft and hard labels."""
    results = Results(tmp_path, {"seed": 0})
    for method, gain in (("rded", 0.0), ("herding", 0.1)):
        for ipc, labels in ((10, "soft"), (50, "soft"), (10, "hard")):
            for pool in range(2):
                last = {"object": ipc / 100 + gain + pool / 1000, "whole": 0.05}
                key = RunKey(method, pool, ipc, "convnet", labels)
                results.add(StudentRun(key, pool, last, last, [1], {v: [x] for v, x in last.items()}, 1.0))
    return tmp_path


def test_a_section_shows_the_asked_budgets_of_the_object_view_and_soft_labels(out: Path) -> None:
    shown = CliRunner().invoke(main, [str(out), "--ipc", "50", "--methods", "herding,rded"])
    assert shown.exit_code == 0, shown.output
    assert "object view, IPC 50, convnet, soft labels" in shown.output
    assert "| herding | 60.0 ± 0.1 | 2 | +10.00 [10.00, 10.00]" in shown.output
    assert not any(word in shown.output for word in ("IPC 10", "hard", "whole"))
    assert shown.output.index("| herding") < shown.output.index("| rded")


def test_all_budgets_are_shown_where_none_is_named_and_another_method_may_be_the_reference(out: Path) -> None:
    shown = CliRunner().invoke(main, [str(out), "--labels", "soft,hard", "--view", "whole", "--reference", "herding"])
    assert [line for line in shown.output.splitlines() if line.startswith("###")] == [
        "### whole view, IPC 10, convnet, hard labels",
        "### whole view, IPC 10, convnet, soft labels",
        "### whole view, IPC 50, convnet, soft labels",
    ]
    assert "| herding | 5.0 ± 0.0 | 2 |  |" in shown.output


def test_a_section_without_a_run_is_an_error_and_no_empty_table(out: Path) -> None:
    shown = CliRunner().invoke(main, [str(out), "--students", "vit-w96"])
    assert shown.exit_code != 0
    assert "no finished run" in str(shown.exception)
