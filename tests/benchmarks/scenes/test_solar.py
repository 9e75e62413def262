"""Solar cells as class folders: classes by the probability of a defect, splits by file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.scenes.solar import class_of, main


@pytest.mark.parametrize(
    ("defect", "name"), [(0.0, "functional-mono"), (0.25, "functional-mono"), (1 / 3, None), (0.5, "defective-mono")]
)
def test_a_cell_between_functional_and_defective_has_no_class(defect: float, name: str | None) -> None:
    assert class_of(defect, "mono") == name


def test_every_photograph_with_a_class_is_copied_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    lines = []
    for i in range(40):
        defect, kind = (0.0, 1.0, 1 / 3, 0.0)[i % 4], ("mono", "poly")[i // 4 % 2]
        (data / "images" / f"cell{i:04d}.png").write_bytes(bytes([i]))
        lines.append(f"images/cell{i:04d}.png   {defect} {kind}")
    (data / "labels.csv").write_text("\n".join(lines) + "\n")
    result = CliRunner().invoke(main, [str(data), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    copied = sorted(path.read_bytes()[0] for path in (tmp_path / "out").rglob("*.png"))
    assert copied == [i for i in range(40) if i % 4 != 2]
    folders = {path.parent.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert "train/functional-poly" in folders
    assert {folder.split("/")[0] for folder in folders} == {"train", "tuning", "test"}


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "labels.csv is missing" in result.output
