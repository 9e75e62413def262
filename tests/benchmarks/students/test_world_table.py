"""A world's table, by evaluations' folders as they are on disk."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from benchmarks.students.world_table import main
from selector.evaluation.results import Results, RunKey, StudentRun


def finished(folder: Path, method: str, gain: float, budgets: tuple[int, ...], pools: int = 2) -> Path:
    results = Results(folder, {"seed": 0})
    for ipc in budgets:
        for pool in range(pools):
            last = {"object": ipc / 100 + gain + pool / 100, "whole": 0.05}
            key = RunKey(method, pool, ipc, "convnet", "hard")
            results.add(StudentRun(key, pool, last, last, [1], {view: [x] for view, x in last.items()}, 1.0))
    return folder


def test_methods_of_several_folders_are_paired_by_pool_and_a_budget_without_runs_is_empty(tmp_path: Path) -> None:
    ours = finished(tmp_path / "ours", "herding", 0.2, (1, 10))
    theirs = finished(tmp_path / "theirs", "rded", 0.1, (10,))
    finished(tmp_path / "theirs", "random-image", 0.0, (10,), pools=1)
    asked = ["--view", "object", "--labels", "hard", "--methods", "rded,herding,random-image"]
    shown = CliRunner().invoke(main, [str(ours), str(theirs), *asked])
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[:5] == [
        "| Method | IPC 1 | IPC 10 |",
        "|---|---|---|",
        "| rded |  | 20.5 ± 0.7, -10.0 [-10.0, -10.0], n 2 |",
        "| **herding** | 21.5 ± 0.7, n 2 | 30.5 ± 0.7, n 2 |",
        "| random-image |  | 10.0, -20.0 (1 pair) |",
    ]


def test_a_method_that_is_not_named_is_left_out(tmp_path: Path) -> None:
    ours = finished(tmp_path, "herding", 0.2, (1,))
    finished(tmp_path, "clusters", 0.1, (1,))
    shown = CliRunner().invoke(main, [str(ours), "--view", "whole", "--labels", "hard", "--methods", "herding"])
    assert "clusters" not in shown.output
    assert "| **herding** | 5.0 ± 0.0, n 2 |" in shown.output
