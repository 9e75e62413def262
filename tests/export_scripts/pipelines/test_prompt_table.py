"""Tables of prompts that can't tell two classes apart: refused or said, always with both names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export_scripts.errors import PipelineError
from export_scripts.pipelines.prompt_table import check_distinct, check_lengths, check_rows
from export_scripts.pipelines.source import load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import TOKENS, write_sd1, write_sdxl

CRANES = Wanted(("n02012849", "n03126707", "bag"), class_names=("crane", "crane", "bag"), dift_block="mid")


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("sdxl"))


def long(*names: str, **more: object) -> Wanted:
    return Wanted(names, prompt="{class}", null_prompt="x", dift_block="mid", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_prompt_longer_than_the_encoder_takes_is_refused_with_its_class(
    kind: str, request: pytest.FixtureRequest
) -> None:
    fits = "a" * (TOKENS - 2)  # beside the tokens of start and end
    assert read_prompts(request.getfixturevalue(kind), long(fits, "bag")).notes == ()
    with pytest.raises(PipelineError, match=rf"class '{fits}a' \({TOKENS + 1} tokens\).*--truncate"):
        read_prompts(request.getfixturevalue(kind), long(f"{fits}a", "bag"))


def test_a_null_prompt_that_is_too_long_is_called_so(sd1: Path) -> None:
    with pytest.raises(PipelineError, match="the null prompt"):
        read_prompts(sd1, Wanted(("bag", "cup"), null_prompt="y" * 40))


def test_a_cut_prompt_is_said_and_its_row_is_that_of_another_with_its_beginning(sd1: Path) -> None:
    kept = "a" * (TOKENS - 2)
    cut, same = (read_prompts(sd1, long(f"{kept}{more}", "bag", truncate=True)) for more in ("bcd", "xyz"))
    assert cut.notes == (
        f"prompts cut to the {TOKENS} tokens that the text encoder takes: class '{kept}bcd' ({TOKENS + 3} tokens)",
    )
    torch.testing.assert_close(cut.tokens, same.tokens)


def test_two_names_that_are_one_after_cutting_are_refused_with_both(sd1: Path) -> None:
    names = ("a" * 29 + "b", "a" * 29 + "c")
    with pytest.raises(PipelineError, match=f"class '{names[0]}', class '{names[1]}' have equal rows"):
        read_prompts(sd1, long(*names, "bag", truncate=True))


def test_two_names_that_the_tokenizer_does_not_tell_apart_are_refused(sd1: Path) -> None:
    """CLIP's tokenizer puts text into lower case."""
    with pytest.raises(PipelineError, match="class 'Crane', class 'crane' have equal rows"):
        read_prompts(sd1, long("Crane", "crane"))


def test_a_class_whose_prompt_is_the_null_prompt_is_refused(sd1: Path) -> None:
    with pytest.raises(PipelineError, match="the null prompt, class 'x' have equal rows"):
        read_prompts(sd1, long("x", "bag"))


def test_names_in_far_places_of_a_long_list_are_compared_too(sd1: Path) -> None:
    """Prompts are encoded 64 at a time, and rows of two such groups may differ in their last digits."""
    names = [f"class {number}" for number in range(70)]
    with pytest.raises(PipelineError, match="class 'class 0', class 'CLASS 0' have equal rows"):
        read_prompts(sd1, long(*names, "CLASS 0"))


def test_two_ids_of_one_name_stay_two_classes_and_that_is_said(sd1: Path) -> None:
    source = load_source(sd1, CRANES)
    assert source.classes == ("n02012849", "n03126707", "bag")
    assert source.class_names == ("crane", "crane", "bag")
    assert source.prompts[1] == source.prompts[2] == "An image of crane."
    (note,) = source.notes
    assert "n02012849 'crane', class n03126707 'crane' have one name" in note
    assert "no score tells them apart" in note


def test_equal_rows_of_a_learned_table_are_refused() -> None:
    table = torch.arange(12, dtype=torch.float32).reshape(3, 2, 2)
    assert check_rows(("a", "b"), ("a", "b"), table, None) == ()
    table[2] = table[1]
    with pytest.raises(PipelineError, match="class 'a', class 'b' have equal rows"):
        check_rows(("a", "b"), ("a", "b"), table, None)
    assert check_rows(("a", "b"), ("a", "b"), table, torch.arange(6).reshape(3, 2)) == ()


def test_long_lists_of_classes_are_told_by_their_first() -> None:
    names = tuple(f"c{number}" for number in range(9))
    with pytest.raises(PipelineError, match=r"class 'c0', .*class 'c4' and 4 more have equal rows"):
        check_distinct(names, names, ["null", *["same"] * 9])
    with pytest.raises(PipelineError, match=r"and 4 more: shorten"):
        check_lengths(names, [30] * 9, 20, truncate=False)
