"""Tokens that users taught a text encoder (textual inversion), and classes with names as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from export_scripts.class_list import read_class_list
from export_scripts.errors import PipelineError
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import TOKENS, write_sd1

TAUGHT = "<my-bee>"


def teach(pipeline: Path, folder: Path, vectors: Tensor, *, resize: bool = True) -> Path:
    """Adds a token with the vectors [V, 8] to the pipeline and saves it, as diffusers' load_textual_inversion does."""
    with quiet_loading():
        loaded = StableDiffusionPipeline.from_pretrained(pipeline, low_cpu_mem_usage=False)
        if resize:
            loaded.load_textual_inversion({TAUGHT: vectors})
        else:
            loaded.tokenizer.add_tokens([TAUGHT])
        loaded.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


def wanted(*classes: str, **more: Any) -> Wanted:
    return Wanted(classes, dift_block="mid", prompt="An {class}.", **more)


def states(folder: Path, ids: list[int]) -> Tensor:
    """CLIP's last hidden states [L, D] of these tokens with start, end and padding, by the text encoder alone."""
    with quiet_loading():
        loaded = StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    start, end = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id
    tokens = [start, *ids, end]
    with torch.no_grad():
        return loaded.text_encoder(torch.tensor([tokens + [end] * (TOKENS - len(tokens))])).last_hidden_state[0]


def test_a_taught_token_is_one_token_with_its_own_vector(sd1: Path, tmp_path: Path) -> None:
    vectors = torch.randn(1, 8)
    folder = teach(sd1, tmp_path, vectors)
    source = load_source(folder, wanted(TAUGHT, "bee"))
    with quiet_loading():
        tokenizer = StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False).tokenizer
    ids = tokenizer.convert_tokens_to_ids(["a", "n</w>", TAUGHT, ".</w>"])  # CLIP knows no capitals
    assert ids[2] == len(tokenizer) - 1
    torch.testing.assert_close(source.table[1], states(folder, ids), rtol=0, atol=1e-5)


def test_a_token_of_several_vectors_stands_in_the_prompt_with_all_of_them(sd1: Path, tmp_path: Path) -> None:
    """diffusers calls them <my-bee>, <my-bee>_1, …; so the text encoder's limit counts them all."""
    folder = teach(sd1, tmp_path, torch.randn(3, 8))
    source = load_source(folder, wanted(TAUGHT))
    one = load_source(teach(sd1, tmp_path / "one", torch.randn(1, 8)), wanted(TAUGHT))
    assert not torch.allclose(source.table[1], one.table[1], atol=1e-3)
    long = teach(sd1, tmp_path / "long", torch.randn(TOKENS, 8))
    with pytest.raises(PipelineError, match=rf"fewer than the prompts of class '{TAUGHT}' \(2[0-9] tokens\)"):
        load_source(long, wanted(TAUGHT))
    cut = load_source(long, wanted(TAUGHT, truncate=True))
    assert any("prompts cut to the" in note for note in cut.notes)


def test_another_teaching_is_another_identity(sd1: Path, tmp_path: Path) -> None:
    found = {load_source(sd1, wanted("bee")).digest}
    for number in range(2):
        torch.manual_seed(number)
        found.add(load_source(teach(sd1, tmp_path / str(number), torch.randn(1, 8)), wanted("bee")).digest)
    assert len(found) == 3


def test_a_token_without_a_vector_is_refused(sd1: Path, tmp_path: Path) -> None:
    folder = teach(sd1, tmp_path, torch.randn(1, 8), resize=False)
    with pytest.raises(PipelineError, match=r"the tokenizer knows \d+ tokens, its text encoder \d+"):
        load_source(folder, wanted(TAUGHT))


def test_names_with_commas_quotes_and_letters_of_the_world_stay_whole(sd1: Path, tmp_path: Path) -> None:
    lines = ["n1\tcup, mug", 'n2\t"Bob\'s" cup', "n3\tbee: a, b; #1", "n4\t{class}", "n5\t<b>"]
    (tmp_path / "classes.txt").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    listed = read_class_list(tmp_path / "classes.txt")
    assert listed.names == ("cup, mug", '"Bob\'s" cup', "bee: a, b; #1", "{class}", "<b>")
    source = load_source(sd1, wanted(*listed.ids, class_names=listed.names))
    assert source.prompts == ("An image of .", *(f"An {name}." for name in listed.names))
    assert (source.classes, source.class_names) == (listed.ids, listed.names)
    assert len({row.numpy().tobytes() for row in source.table}) == 6


def test_letters_that_a_tokenizer_does_not_know_do_not_make_two_classes_one(sd1: Path, tmp_path: Path) -> None:
    """Both names would be the same unknown tokens: refused with both."""
    (tmp_path / "classes.txt").write_text("蜂\n杯\n", encoding="utf-8")
    listed = read_class_list(tmp_path / "classes.txt")
    assert listed.ids == ("蜂", "杯")
    with pytest.raises(PipelineError, match="class '蜂', class '杯' have equal rows"):
        load_source(sd1, wanted(*listed.ids))
