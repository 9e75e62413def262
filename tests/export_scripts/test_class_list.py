"""The list of classes and the prompts made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from export_scripts.class_list import prompts_of, read_class_list
from export_scripts.errors import PipelineError


def write(folder: Path, text: str) -> Path:
    path = folder / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_class_per_line_in_the_file_s_order(tmp_path: Path) -> None:
    assert read_class_list(write(tmp_path, "\ufefftench\n\n  church \nchain saw")) == ("tench", "church", "chain saw")


def test_a_mapping_of_folders_to_names_gives_the_names(tmp_path: Path) -> None:
    """The same file then serves `selector run --class-names`."""
    assert read_class_list(write(tmp_path, "n01440764\ttench\nn03028079\tchurch\n")) == ("tench", "church")


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "names no class"), ("a\nb\na\n", "'a' more than once"), ("n01440764\t\nb\n", "without a name")],
)
def test_a_list_that_is_empty_or_ambiguous_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=says):
        read_class_list(write(tmp_path, text))


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="can't be read"):
        read_class_list(tmp_path / "none.txt")


def test_prompts_start_with_the_null_prompt() -> None:
    assert prompts_of(("a", "b"), "A {class}!", "") == ("", "A a!", "A b!")


def test_a_prompt_without_the_class_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"has no \{class\}"):
        prompts_of(("a",), "An image.", "")
