"""PixArt: prompts with a mask, the table that ends with the longest of them, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import PixArtSigmaPipeline

from benchmarks.export.letter_tokenizer import letter_t5_tokenizer
from client import contract
from export_scripts.errors import PipelineError
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.masked import padded_to, with_mask, without_mask
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import check_source, load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Wanted
from tests.tiny_pixart import write_pixart_alpha, write_pixart_sigma
from tests.tiny_sd3 import WIDTH

ALL_TOKENS = 300  # diffusers pads to so many
WANTED = Wanted(("bee", "coffee cup"))


@pytest.fixture(scope="module")
def sigma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_pixart_sigma(tmp_path_factory.mktemp("sigma"))


@pytest.fixture
def copy(sigma: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sigma, tmp_path / "copy")


def refusal(folder: Path, wanted: Wanted = WANTED) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def encoded(folder: Path, texts: list[str]) -> torch.Tensor:
    """Masked prompts of all tokens, by diffusers alone."""
    with quiet_loading():
        pipeline = PixArtSigmaPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    tokens, mask, _, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device="cpu")
    return with_mask(tokens, mask).detach()


def test_the_table_ends_with_the_longest_prompt_and_its_size_is_told_before(sigma: Path) -> None:
    told: list[str] = []
    source = load_source(sigma, replace(WANTED, tell=told.append))
    longest = len(letter_t5_tokenizer()("an image of coffee cup.").input_ids)
    assert source.table.shape == (3, longest, WIDTH + 1)
    assert told == [
        f"the prompt table has 3 rows of {longest} x {WIDTH + 1} numbers: 0.00 GiB in fp16, 0.00 MiB a row; twice that in fp32 "
        "and while it is made"
    ]
    expected = encoded(sigma, list(source.prompts))
    assert not expected[:, longest:, -1].any(), "what is cut off is padding"
    torch.testing.assert_close(source.table, expected[:, :longest])
    assert read_prompts(sigma, WANTED).digest == source.text_digest


def test_a_trimmed_prompt_gives_the_losses_of_the_whole_one(sigma: Path) -> None:
    """All 300 tokens against those of the longest prompt: the mask makes the others' share of attention exactly 0."""
    source = load_source(sigma, WANTED)
    leaves, whole = make_leaves(source, 8), encoded(sigma, list(source.prompts))
    latent = torch.randn(2, *source.latent, generator=torch.Generator().manual_seed(0))
    draw, rows = torch.tensor([[0], [3]], dtype=torch.int32), torch.tensor([1, 2])
    loss = leaves.by_name[contract.UNET].module
    with torch.no_grad():
        short = loss(latent, source.table[rows], source.table[[0, 0]], draw)
        full = loss(latent, whole[rows], whole[[0, 0]], draw)
    for one, other in zip(short, full, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_what_stands_in_the_padding_changes_nothing_and_without_the_mask_it_would(sigma: Path) -> None:
    source = load_source(sigma, WANTED)
    denoiser, noisy = source.denoiser, torch.randn(1, *source.latent, generator=torch.Generator().manual_seed(1))
    prompt, steps = padded_to(source.table[1:2], 40), torch.tensor([300])
    other, unmasked = prompt.clone(), prompt.clone()
    other[:, -10:, :-1], unmasked[:, :, -1] = 7.0, 1.0
    with torch.no_grad():
        given, same, wrong = (denoiser.predict(noisy, steps, (each,)) for each in (prompt, other, unmasked))
    assert torch.equal(given, same)
    assert (given - wrong).abs().max() > 1e-3 * given.abs().max()


def test_a_mask_left_out_is_refused_by_name(copy: Path) -> None:
    """By a table without one, by a tokenizer that gives none, and by one that keeps the padding."""
    source = load_source(copy, WANTED)
    with pytest.raises(PipelineError, match="masks the padding of prompts, and the table of prompts has no mask"):
        check_source(replace(source, table=source.table[:, :, :-1]))
    change(copy / "tokenizer" / "tokenizer_config.json", model_input_names=["input_ids"])
    assert "gives no attention_mask (its model_input_names are input_ids)" in refusal(copy)


def test_a_tokenizer_that_pads_before_the_prompt_is_refused(copy: Path) -> None:
    change(copy / "tokenizer" / "tokenizer_config.json", padding_side="left")
    assert "tokens, the prompt begins with" in refusal(copy)
    assert "padding_side" in refusal(copy)


def test_a_mask_travels_as_the_last_column_and_gates_inputs_never_mask_a_whole_prompt() -> None:
    tokens, mask = torch.randn(2, 5, 3), torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])
    for prompts in (with_mask(tokens, mask), with_mask(tokens, mask).to(torch.float16)):
        kept, found = without_mask(prompts, tokens)
        torch.testing.assert_close(kept, tokens, atol=2e-3, rtol=1e-3)
        assert torch.equal(found, mask.float())
    assert without_mask(torch.randn(50, 3, 4), torch.zeros(50))[1].sum(dim=1).min() >= 1


def test_prompts_too_long_for_its_tokens_are_refused_or_cut_and_capitals_make_no_class(sigma: Path) -> None:
    long = "x" * (ALL_TOKENS + 1)
    assert "takes 300 tokens" in refusal(sigma, Wanted((long, "bee")))
    assert load_source(sigma, Wanted((long, "bee"), truncate=True)).table.shape[1] == ALL_TOKENS
    assert "have equal rows" in refusal(sigma, Wanted(("Bee", "bee")))


def test_alpha_is_told_the_size_of_the_exported_images(tmp_path: Path) -> None:
    """Another size is another prediction; a gate at a smaller resolution is told the same."""
    folder = write_pixart_alpha(tmp_path)
    noisy, steps = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2)), torch.tensor([300])
    given = []
    for side in (32, 64):
        source = load_source(folder, replace(WANTED, resolution=side))
        with torch.no_grad():
            given.append(source.denoiser.predict(noisy, steps, (source.table[1:2],)))
    assert (given[0] - given[1]).abs().max() > 1e-4


def test_a_learned_sigma_is_no_part_of_the_prediction_and_other_channels_are_refused(
    sigma: Path, tmp_path: Path
) -> None:
    source = load_source(sigma, WANTED)
    assert source.denoiser.learned_sigma
    noisy = torch.randn(1, *source.latent)
    assert source.denoiser.predict(noisy, torch.tensor([5]), (source.table[:1],)).shape == noisy.shape
    assert "with a learned sigma it gives twice as many" in refusal(write_pixart_sigma(tmp_path, out_channels=12))


def test_a_pixart_published_under_its_former_class_is_the_same(copy: Path, sigma: Path) -> None:
    former = "Transformer2DModel"
    change(copy / "model_index.json", transformer=["diffusers", former])
    change(copy / "transformer" / "config.json", _class_name=former, num_vector_embeds=None, only_cross_attention=False)
    assert torch.equal(load_source(copy, WANTED).table, load_source(sigma, WANTED).table)
    change(copy / "transformer" / "config.json", norm_type="ada_norm_zero")
    assert 'norm_type is "ada_norm_zero"' in refusal(copy)


def test_it_needs_a_list_of_classes(sigma: Path) -> None:
    assert "with --classes" in refusal(sigma, Wanted())
