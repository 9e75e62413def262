"""The list of classes and the prompts made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from export_scripts.class_list import ClassList, prompts_of, read_class_list
from export_scripts.errors import PipelineError


def write(folder: Path, text: str) -> Path:
    path = folder / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_class_per_line_in_the_file_s_order_is_its_own_id(tmp_path: Path) -> None:
    listed = read_class_list(write(tmp_path, "\ufefftench\n\n  church \nchain saw"))
    assert listed == ClassList(("tench", "church", "chain saw"))


def test_an_id_and_a_name_are_two_things_and_two_ids_may_have_one_name(tmp_path: Path) -> None:
    listed = read_class_list(write(tmp_path, "n02012849\tcrane\nn03126707 \t crane\nbag\n"))
    assert listed == ClassList(("n02012849", "n03126707", "bag"), ("crane", "crane", "bag"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no class"),
        ("a\nb\na\n", "'a' more than once"),
        ("n1\tbag\nn1\tcup\n", "'n1' more than once"),
        ("a\nn01440764\t\nb\n", "line 2: expected a name"),
        ("\ttench\n", "line 1: expected a name"),
        ("n1\tbag\tsack\n", "line 1: expected a name"),
    ],
)
def test_a_list_that_is_empty_or_ambiguous_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=says):
        read_class_list(write(tmp_path, text))


def test_a_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(PipelineError, match="can't be read as UTF-8 text"):
        read_class_list(tmp_path / "latin.txt")


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="can't be read"):
        read_class_list(tmp_path / "none.txt")


def test_prompts_start_with_the_null_prompt() -> None:
    assert prompts_of(("a", "b"), "A {class}!", "") == ("", "A a!", "A b!")


def test_a_prompt_without_the_class_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"has no \{class\}"):
        prompts_of(("a",), "An image.", "")


def test_the_same_letters_stored_in_two_ways_are_one_class(tmp_path: Path) -> None:
    assert read_class_list(write(tmp_path, "n1\tcafe\u0301\n")).names == ("caf\u00e9",)
    with pytest.raises(PipelineError, match="more than once"):
        read_class_list(write(tmp_path, "cafe\u0301\ncaf\u00e9\n"))
