"""What is trained: faithful noise, targets and latents."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from export_scripts.training.architectures import build_pipeline
from export_scripts.training.images import ImageSet
from export_scripts.training.model import (
    ModelConfig,
    NoiseConfig,
    UnetParts,
    denoising_loss,
    latent_statistics,
    sample_timesteps,
)

TINY = ModelConfig(image_size=16, patch_size=4, block_channels=(8, 8), heads=2, tokens=2, width=8, norm_groups=4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_has_no_loss(prediction: str) -> None:
    pipeline = build_pipeline(replace(TINY, prediction_type=prediction), ["a", "b"], "gray", 0.0, 1.0)
    latents, noise = torch.randn(3, 16, 4, 4), torch.randn(3, 16, 4, 4)
    timesteps = torch.tensor([10, 500, 990])
    abar = pipeline.scheduler.alphas_cumprod[timesteps].reshape(3, 1, 1, 1)
    target = noise if prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * latents

    class Oracle(UnetParts):
        def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            assert torch.allclose(noisy, abar.sqrt() * latents + (1 - abar).sqrt() * noise, atol=1e-6)
            return target

    oracle = Oracle(pipeline.unet, pipeline.class_embedding)
    rows = torch.zeros(3, dtype=torch.int64)
    assert float(denoising_loss(oracle, pipeline.scheduler, latents, rows, timesteps, noise)) < 1e-12


def test_timesteps_cover_the_schedule_with_the_bands_share() -> None:
    config = NoiseConfig(band=(0.5, 0.8), band_share=0.7)
    timesteps, in_band = sample_timesteps(config, 20_000, 1000, torch.Generator().manual_seed(0))
    assert torch.equal(in_band, (timesteps >= 500) & (timesteps < 800))
    assert float(in_band.float().mean()) == pytest.approx(0.7, abs=0.02)
    assert int(timesteps.min()) == 0
    assert int(timesteps.max()) == 999


def test_latents_of_the_training_images_have_unit_variance(images: ImageSet) -> None:
    pixels = torch.from_numpy(images.pixels).float() / 127.5 - 1
    pipeline = build_pipeline(TINY, images.class_names, "gray", *latent_statistics(pixels))
    latents = pipeline.vae.encode(pixels)
    assert float(latents.mean()) == pytest.approx(0, abs=1e-5)
    assert float(latents.std()) == pytest.approx(1, abs=1e-5)
