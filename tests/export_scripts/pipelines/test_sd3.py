"""Stable Diffusion 3: a flow's schedule, prompts of three encoders, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusion3Pipeline

from client import contract
from export_scripts.errors import PipelineError
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Wanted
from tests.tiny_sd3 import WIDTH, write_sd3
from tests.tiny_text_pipeline import TOKENS

T5_TOKENS = 256  # diffusers pads to so many
WANTED = Wanted(("bee", "cup"))


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd3(tmp_path_factory.mktemp("sd3"))


@pytest.fixture
def copy(sd3: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd3, tmp_path / "copy")


def refusal(folder: Path, wanted: Wanted = WANTED) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_prompts_are_clip_s_tokens_and_then_t5_s_as_the_pipeline_encodes_them(sd3: Path) -> None:
    source = load_source(sd3, WANTED)
    assert source.table.shape == (3, TOKENS + T5_TOKENS, WIDTH)
    assert source.pooled is not None
    with quiet_loading():
        pipeline = StableDiffusion3Pipeline.from_pretrained(sd3, low_cpu_mem_usage=False)
    with torch.no_grad():
        words = pipeline.tokenizer_3(
            "An image of cup.", padding="max_length", max_length=T5_TOKENS, return_tensors="pt"
        )
        torch.testing.assert_close(source.table[2, TOKENS:], pipeline.text_encoder_3(words.input_ids)[0][0])
    assert (source.table[2, :TOKENS] != source.table[1, :TOKENS]).any()
    assert read_prompts(sd3, WANTED).digest == source.text_digest


def test_a_draw_is_a_sigma_of_the_shifted_schedule_with_the_noise_of_the_default_band(sd3: Path) -> None:
    """σ' = 3 σ / (1 + 2 σ); the band is that of Stable Diffusion's 0.1 to 0.7, in noise over signal."""
    source = load_source(sd3, WANTED)
    sigma = np.arange(1, 1001) / 1000
    shifted = 3 * sigma / (1 + 2 * sigma)
    schedule = source.denoiser.schedule
    np.testing.assert_allclose(schedule.noise, shifted, rtol=1e-5)
    np.testing.assert_allclose(schedule.signal, 1 - shifted, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(schedule.told, 1000 * shifted, rtol=1e-5)
    betas = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    for share, same in ((source.profile.t_min, 100), (source.profile.t_max, 700)):
        found = shifted[round(share * 1000)] / (1 - shifted[round(share * 1000)])
        assert found == pytest.approx(float(((1 - betas[same]) / betas[same]).sqrt()), rel=0.02)


def test_the_vae_s_shift_is_in_the_latents_and_one_without_it_is_refused(sd3: Path, tmp_path: Path) -> None:
    source = load_source(sd3, WANTED)
    with quiet_loading():
        vae = StableDiffusion3Pipeline.from_pretrained(sd3, low_cpu_mem_usage=False).vae
    image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    with torch.no_grad():
        mean = vae.encode(torch.full((1, 3, 32, 32), -1.0)).latent_dist.mode()
        latent = make_leaves(source, 8).by_name[contract.VAE_ENCODER].module(image)
    torch.testing.assert_close(latent, (mean - 0.06) * vae.config.scaling_factor)
    assert "vae/config.json has no shift_factor" in refusal(write_sd3(tmp_path, shift_factor=None))


def test_an_epsilon_schedule_on_a_flow_model_is_refused_by_name(copy: Path) -> None:
    DDPMScheduler().save_pretrained(copy / "scheduler")
    change(copy / "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    said = refusal(copy)
    assert "scheduler is a DDPMScheduler; a StableDiffusion3Pipeline takes: FlowMatchEulerDiscreteScheduler" in said


@pytest.mark.parametrize("values", [{"use_dynamic_shifting": True}, {"invert_sigmas": True}, {"shift_terminal": 0.02}])
def test_a_schedule_that_depends_on_more_than_its_shift_is_refused(values: dict[str, Any], copy: Path) -> None:
    change(copy / "scheduler" / "scheduler_config.json", **values)
    assert next(iter(values)) in refusal(copy)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"text_encoder_3": [None, None]}, "names no text_encoder_3"),
        ({"transformer": ["diffusers", "DiTTransformer2DModel"]}, "transformer is a DiTTransformer2DModel"),
        ({"text_encoder": ["transformers", "CLIPTextModel"]}, "text_encoder is a CLIPTextModel"),
    ],
)
def test_parts_of_another_pipeline_are_refused_by_name(index: dict[str, Any], says: str, copy: Path) -> None:
    change(copy / "model_index.json", **index)
    assert says in refusal(copy)


def test_images_larger_than_its_positions_and_a_run_without_classes_are_refused(sd3: Path) -> None:
    assert load_source(sd3, Wanted(("bee", "cup"), resolution=48)).latent == (4, 24, 24)
    assert "larger than the 24 of the SD3 transformer" in refusal(sd3, Wanted(("bee", "cup"), resolution=64))
    assert "with --classes" in refusal(sd3, Wanted())
