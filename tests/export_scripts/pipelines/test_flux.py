"""Flux.1-dev: a shift that the image's size gives, packed latents, no null prompt, and what is refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux import FluxPosEmbed

from export_scripts.errors import PipelineError
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.flux import PositionTable, fixed_shift, pack, positions
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.scoring.settings import fingerprint, settings_of
from tests.tiny_flux import SHIFTING, write_flux

ASKED = ScoreConfig(Path(), Path(), Path(), draws=4)
WANTED = Wanted(("bee", "cup"), resolution=32)


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture
def copy(flux: Path, tmp_path: Path) -> Path:
    return shutil.copytree(flux, tmp_path / "copy")


def refusal(folder: Path, wanted: Wanted = WANTED) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [64, 256, 4096])
def test_the_shift_of_a_known_size_is_what_the_pipeline_s_own_sampler_makes_of_it(kind: str, tokens: int) -> None:
    """μ is linear from 0.5 at 256 tokens to 1.15 at 4,096, and diffusers' own set_timesteps shifts by it."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, time_shift_type=kind, **SHIFTING)
    fixed = fixed_shift(scheduler, tokens)
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 1000, 1000), mu=mu)
    np.testing.assert_allclose(fixed.sigmas, scheduler.sigmas[:-1], rtol=1e-5)
    np.testing.assert_allclose(fixed.timesteps, scheduler.timesteps, rtol=1e-5)
    still = FlowMatchEulerDiscreteScheduler(shift=2.0)
    assert fixed_shift(still, tokens) is still


def test_latents_are_packed_and_placed_as_diffusers_does_it() -> None:
    latents = torch.randn(2, 3, 6, 8)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 3, 6, 8))
    text, image = positions(latents, torch.zeros(2, 5, 4))
    assert torch.equal(image, FluxPipeline._prepare_latent_image_ids(2, 3, 4, "cpu", torch.float32))
    assert torch.equal(text, torch.zeros(5, 3))


def test_positions_read_from_tables_are_those_that_diffusers_computes() -> None:
    own = FluxPosEmbed(theta=10000, axes_dim=(16, 56, 56))
    ids = torch.cat(positions(torch.zeros(1, 1, 128, 96), torch.zeros(1, 7, 1)))
    for table, computed in zip(PositionTable(own)(ids), own(ids), strict=True):
        assert torch.equal(table, computed)


def test_a_null_prompt_on_a_guidance_distilled_model_is_refused_with_the_reason(flux: Path) -> None:
    """At export, and by every command that takes a rule."""
    reason = "distilled from guided sampling has no prediction without a prompt"
    assert reason in refusal(flux, Wanted(("bee", "cup"), null_prompt="", resolution=32))
    assert reason in refusal(flux, Wanted(("bee",), resolution=32))
    identity = make_leaves(load_source(flux, WANTED), 8).identity
    settings = settings_of(identity, ASKED)
    assert settings.rule.name == "rotating"
    assert "no_null" not in fingerprint(identity, settings)
    for name in ("null", "null-weighted"):
        with pytest.raises(UsageError, match=f"{name}.*{reason}: take 'rotating'"):
            settings_of(identity, replace(ASKED, rule=name))


def test_schnell_which_was_distilled_to_few_steps_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_flux(tmp_path, guidance_embeds=False)
    assert "guidance_embeds is false. Such a Flux transformer is Flux.1-schnell" in refusal(folder)
    config = folder / "transformer" / "config.json"
    silent = {name: value for name, value in json.loads(config.read_text()).items() if name != "guidance_embeds"}
    config.write_text(json.dumps(silent))
    assert "is Flux.1-schnell" in refusal(folder), "diffusers takes false for what a file leaves out"


def test_a_vae_without_its_shift_and_an_epsilon_schedule_are_refused_by_name(copy: Path, tmp_path: Path) -> None:
    assert "vae/config.json has no shift_factor" in refusal(write_flux(tmp_path / "other", shift_factor=None))
    DDPMScheduler().save_pretrained(copy / "scheduler")
    change(copy / "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    assert "scheduler is a DDPMScheduler; a FluxPipeline takes: FlowMatchEulerDiscreteScheduler" in refusal(copy)


def test_without_a_resolution_it_is_the_1024_px_that_the_pipeline_makes(flux: Path) -> None:
    """128 latent cells, here of 2 px."""
    assert load_source(flux, Wanted(("bee", "cup"))).resolution == 256


def test_features_can_be_read_in_blocks_of_two_streams_and_of_one(flux: Path) -> None:
    """Places are counted through; what a block of one stream is given ends with the image's tokens."""
    for place in range(4):
        source = load_source(flux, Wanted(("bee", "cup"), resolution=32, dift_block=place))
        seen: list[Any] = []
        network: FluxTransformer2DModel = source.denoiser.network
        norm = [
            *(b.norm1 for b in network.transformer_blocks),
            *(b.norm for b in network.single_transformer_blocks),
        ][place]
        latent, told = torch.randn(1, *source.latent), source.denoiser.schedule.told[161:162]
        assert source.pooled is not None
        conditions = (source.table[1:2], source.pooled[1:2])
        with torch.no_grad():
            handle = norm.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output[0]))
            source.denoiser.call(network, latent, told, conditions)
            handle.remove()
            read = source.denoiser.taps.read(network, latent, told, conditions, place)
        torch.testing.assert_close(read, seen[0][:, -64:].mean(dim=1), rtol=1e-4, atol=1e-5)
    assert "this Flux transformer has the blocks 0 to 3" in refusal(flux, Wanted(("bee", "cup"), dift_block=4))
