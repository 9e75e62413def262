"""Where picks lie: hand-worked boxes and a whole table."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.students.pick_quality import main
from selector.errors import UsageError
from selector.evaluation.pictures import read_data_set
from selector.evaluation.teacher import save_teacher, train_teacher
from selector.records import Box
from tests.evaluation_data import CLASSES, write_data, write_store


@pytest.mark.parametrize(
    ("box", "inside", "iou"),
    [
        (Box(0, 0, 10, 10), True, 1.0),
        (Box(5, 0, 10, 10), False, 50 / 150),  # its centre is the first row below
        (Box(4, 0, 10, 10), True, 60 / 140),
        (Box(30, 30, 10, 10), False, 0.0),
        (Box(0, 0, 20, 20), False, 100 / 400),
    ],
)
def test_pointing_and_overlap_of_hand_worked_boxes(box: Box, inside: bool, iou: float) -> None:
    true = Box(0, 0, 10, 10)
    assert box.points_at(true) is inside
    assert box.overlap(true) == pytest.approx(iou)


def test_the_table_has_every_method_and_true_boxes_are_perfect(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data.tar", 6, seed=1)
    teacher = train_teacher(
        read_data_set(data, CLASSES), CLASSES, architecture="convnet", side_px=16, steps=2, advance=int
    )
    save_teacher(teacher, tmp_path / "teacher.pt")
    asked = ["--store", write_store(tmp_path / "store", data), "--teacher", tmp_path / "teacher.pt", "--pools", 2]
    arguments = [*map(str, asked), "--pool-size", "3", "--ipc", "1,2"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert f"| true-boxes |{' 1.000 ± 0.000 |' * 4} 2 |" in done.stdout
    assert "| rded |" in done.stdout
    assert "+centred" not in done.stdout
    some = CliRunner().invoke(main, [*arguments, "--methods", "rded+centred"], catch_exceptions=False)
    assert [line.split(" | ")[0] for line in some.stdout.splitlines()] == [
        "| Method",
        "|---|---|---|---|---|---|",
        "| rded+centred",
    ]
    with pytest.raises(UsageError, match="unknown methods best"):
        CliRunner().invoke(main, [*arguments, "--methods", "best"], catch_exceptions=False)
