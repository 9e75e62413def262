"""Sana: a flow whatever sampler was saved, Gemma's prompts with a mask, latents of an AutoencoderDC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, SanaPipeline

from client import contract
from export_scripts.errors import PipelineError
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_sana import gemma_letters, write_sana
from tests.tiny_sd3 import WIDTH

WANTED = Wanted(("bee", "coffee cup"))


@pytest.fixture(scope="module")
def sana(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sana(tmp_path_factory.mktemp("sana"))


def refusal(folder: Path, wanted: Wanted = WANTED) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_both_samplers_that_it_is_published_with_are_the_same_flow(sana: Path, tmp_path: Path) -> None:
    """The solver's own steps lie on it: σ' = 3 σ / (1 + 2 σ), told in thousandths."""
    schedule = load_source(sana, WANTED).denoiser.schedule
    other = write_sana(tmp_path, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0))
    assert torch.equal(load_source(other, WANTED).denoiser.schedule.noise, schedule.noise)
    solver = DPMSolverMultistepScheduler.from_pretrained(sana, subfolder="scheduler")
    solver.set_timesteps(20)
    unshifted = 1 - np.linspace(1, 1 / 1000, 21)[1:][::-1]
    np.testing.assert_allclose(solver.sigmas[:-1], 3 * unshifted / (1 + 2 * unshifted), rtol=1e-5)
    np.testing.assert_allclose(solver.timesteps, np.floor(1000 * solver.sigmas[:-1].numpy()), atol=1)
    sigma = np.arange(1, 1001) / 1000
    np.testing.assert_allclose(schedule.noise, 3 * sigma / (1 + 2 * sigma), rtol=1e-5)
    np.testing.assert_allclose(schedule.told, 1000 * schedule.noise, rtol=1e-5)


def test_prompts_are_gemma_s_tokens_with_their_mask_up_to_the_longest(sana: Path) -> None:
    source = load_source(sana, WANTED)
    longest = len(gemma_letters()("an image of coffee cup.").input_ids)
    assert source.table.shape == (3, longest, WIDTH + 1)
    with quiet_loading():
        pipeline = SanaPipeline.from_pretrained(sana, low_cpu_mem_usage=False)
    with torch.no_grad():
        tokens, mask, _, _ = pipeline.encode_prompt(
            list(source.prompts), do_classifier_free_guidance=False, device="cpu"
        )
    torch.testing.assert_close(source.table[:, :, :-1], tokens[:, :longest])
    assert torch.equal(source.table[:, :, -1], mask[:, :longest].float())
    assert not mask[:, longest:].any()


def test_latents_are_the_encoder_s_own_and_scaled(sana: Path) -> None:
    source = load_source(sana, WANTED)
    with quiet_loading():
        vae = SanaPipeline.from_pretrained(sana, low_cpu_mem_usage=False).vae
    with torch.no_grad():
        expected = vae.encode(torch.full((1, 3, 32, 32), -1.0)).latent * vae.config.scaling_factor
        image = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
        latent = make_leaves(source, 8).by_name[contract.VAE_ENCODER].module(image)
    torch.testing.assert_close(latent, expected)
    assert source.latent == (4, 8, 8)


def test_the_timestep_is_scaled_as_the_configuration_says(sana: Path, tmp_path: Path) -> None:
    one, other = (load_source(f, WANTED) for f in (sana, write_sana(tmp_path, timestep_scale=0.001)))
    noisy, told = torch.randn(1, *one.latent), torch.tensor([500.0])
    other.denoiser.network.load_state_dict(one.denoiser.network.state_dict())
    with torch.no_grad():
        scaled = other.denoiser.predict(noisy, told, (one.table[1:2],))
        torch.testing.assert_close(scaled, one.denoiser.predict(noisy, told / 1000, (one.table[1:2],)))


def test_an_epsilon_schedule_and_a_distilled_transformer_are_refused_by_name(tmp_path: Path) -> None:
    betas = write_sana(tmp_path / "betas", scheduler=DPMSolverMultistepScheduler())
    assert "prediction_type is epsilon" in refusal(betas)
    steps = write_sana(tmp_path / "steps", scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction"))
    assert "use_flow_sigmas False: a Sana transformer is trained by flow matching" in refusal(steps)
    sprint = write_sana(tmp_path / "sprint", guidance_embeds=True)
    assert "distilled to few steps" in refusal(sprint)


def test_it_needs_a_list_of_classes(sana: Path) -> None:
    assert "with --classes" in refusal(sana, Wanted())
