"""Pipelines with text encoders, read: prompts as CLIP encodes them, conditions, schedules, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from export_scripts.errors import PipelineError
from export_scripts.pipelines.denoiser import PromptShape
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import at_resolution, find_pipeline, load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import TOKENS, write_sd1, write_sd2, write_sdxl

CLASSES = ("bee", "cup")
WANTED = Wanted(CLASSES, dift_block="mid")


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("sdxl"))


def ids(pipeline: StableDiffusionPipeline, text: str) -> torch.Tensor:
    """Start, text, then the end token up to the length: written out, without the tokenizer's padding."""
    tokens = pipeline.tokenizer(text).input_ids
    return torch.tensor([tokens + [pipeline.tokenizer.eos_token_id] * (TOKENS - len(tokens))])


def test_a_prompt_table_holds_clip_s_last_hidden_states_with_the_null_prompt_first(sd1: Path) -> None:
    source = load_source(sd1, WANTED)
    assert source.prompts == ("An image of .", "An image of bee.", "An image of cup.")
    with quiet_loading():
        pipeline = StableDiffusionPipeline.from_pretrained(sd1, low_cpu_mem_usage=False)
    with torch.no_grad():
        for row, prompt in enumerate(source.prompts):
            expected = pipeline.text_encoder(ids(pipeline, prompt)).last_hidden_state[0]
            torch.testing.assert_close(source.table[row], expected)


def test_sdxl_joins_both_encoders_last_but_one_states_and_pools_the_second(sdxl: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    source = load_source(sdxl, WANTED)
    assert source.table.shape == (3, TOKENS, 16)
    assert source.pooled is not None
    with quiet_loading():
        pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl, low_cpu_mem_usage=False)
    tokens = ids(pipeline, "An image of cup.")
    with torch.no_grad():
        first = pipeline.text_encoder(tokens, output_hidden_states=True)
        second = pipeline.text_encoder_2(tokens, output_hidden_states=True)
    torch.testing.assert_close(source.table[2], torch.cat((first.hidden_states[-2], second.hidden_states[-2]), -1)[0])
    torch.testing.assert_close(source.pooled[2], second.text_embeds[0])
    assert source.denoiser.prompt == PromptShape(width=16, pooled=12)


def test_an_empty_null_prompt_of_sdxl_is_the_zeros_that_it_was_trained_with(sdxl: Path) -> None:
    source = load_source(sdxl, Wanted(CLASSES, null_prompt="", dift_block="mid"))
    assert source.pooled is not None
    assert not source.table[0].any()
    assert not source.pooled[0].any()
    assert source.table[1].any()


def test_the_schedule_is_the_training_one_whatever_sampler_was_saved(sd1: Path, sdxl: Path) -> None:
    """Written out: √β is linear from √0.00085 to √0.012."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    for folder in (sd1, sdxl):
        source = load_source(folder, WANTED)
        np.testing.assert_allclose(source.denoiser.schedule.scheduler.alphas_cumprod, np.cumprod(1 - betas), rtol=1e-4)
        assert source.denoiser.schedule.prediction == "epsilon"


def test_v_prediction_and_the_vae_s_own_permission_for_float16_are_read(tmp_path: Path) -> None:
    source = load_source(write_sd2(tmp_path), WANTED)
    assert source.denoiser.schedule.prediction == "v_prediction"
    assert source.half_encoder


def test_a_vae_that_asks_for_float32_is_kept_in_float32(sdxl: Path) -> None:
    assert not load_source(sdxl, WANTED).half_encoder


def test_the_latent_has_a_cell_for_every_two_pixels_and_another_resolution_is_a_choice(sd1: Path) -> None:
    assert load_source(sd1, WANTED).latent == (4, 16, 16)
    other = load_source(sd1, Wanted(CLASSES, resolution=48, dift_block="mid"))
    assert (other.resolution, other.latent) == (48, (4, 24, 24))
    assert at_resolution(other, 16).latent == (4, 8, 8)
    assert other.digest == load_source(sd1, WANTED).digest


def test_the_text_encoders_alone_give_the_same_table(sdxl: Path) -> None:
    source, prompts = load_source(sdxl, WANTED), read_prompts(sdxl, WANTED)
    torch.testing.assert_close(prompts.tokens, source.table, rtol=0, atol=0)
    assert prompts.digest == source.text_digest


def test_defaults_are_those_of_the_design_unless_chosen(sd1: Path) -> None:
    profile = load_source(sd1, WANTED).profile
    assert (profile.t_min, profile.t_max, profile.dift_timestep, profile.window_fraction) == (0.1, 0.7, 161, 0.5)
    chosen = load_source(sd1, Wanted(CLASSES, t_min=0.2, t_max=0.5, dift_timestep=7, dift_block=0)).profile
    assert (chosen.t_min, chosen.t_max, chosen.dift_timestep, chosen.dift_block) == (0.2, 0.5, 7, 0)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(), "--classes"),
        (Wanted(CLASSES, prompt="An image."), "has no"),
        (Wanted(CLASSES, resolution=33), "33 px does not divide"),
        (Wanted(CLASSES), "'mid' and the up-blocks 0 to 0"),
        (Wanted(CLASSES, dift_block="mid", t_min=0.8), "t-min"),
    ],
    ids=["no classes", "no placeholder", "resolution", "block", "band"],
)
def test_what_can_not_be_exported_is_refused_with_its_reason(wanted: Wanted, says: str, sd1: Path) -> None:
    with pytest.raises(PipelineError, match=says):
        load_source(sd1, wanted)


def test_a_learned_table_takes_no_list_of_classes(tiny_pipeline: Path) -> None:
    with pytest.raises(PipelineError, match="can't be chosen"):
        load_source(tiny_pipeline, WANTED)


def test_a_hub_id_without_a_hub_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PipelineError, match="nobody/nothing-of-that-name is no folder here"):
        find_pipeline("nobody/nothing-of-that-name")
