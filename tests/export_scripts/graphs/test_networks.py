"""The torch graphs against independent definitions: diffusers' scheduler, a forward hook, diffusers' own encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional

from export_scripts.graphs.draw_bank import Band, make_draw_bank
from export_scripts.graphs.networks import DiftExtractor, NoisePredictor, PromptEmbedding, VaeEncoder, noise_prediction
from export_scripts.pipelines.parts import KlEncoder
from export_scripts.pipelines.unet import unet_denoiser
from export_scripts.small_pipeline import SpaceToDepth

LATENT = (16, 8, 8)
BANK = make_draw_bank(16, Band(0.1, 0.9, 1000), LATENT)


def two_level_unet() -> UNet2DConditionModel:
    """Attention in one level and the mid block, text added to the timestep, as in the built-in pipeline."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        cross_attention_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        norm_num_groups=4,
    ).eval()


def rows(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    latent, cond, reference = (torch.randn(count, *s, generator=generator) for s in (LATENT, (2, 8), (2, 8)))
    return latent, cond, reference, torch.arange(count, dtype=torch.int32).reshape(-1, 1)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_losses_are_the_squared_errors_of_the_predicted_noise_row_by_row(prediction_type: str) -> None:
    """One row and one condition at a time; ε̂ follows from the scheduler's own estimate of the clean latent."""
    scheduler = DDPMScheduler(prediction_type=prediction_type, clip_sample=False)
    unet = two_level_unet()
    latent, cond, reference, draw = rows(7)
    with torch.no_grad():
        delta, *losses = NoisePredictor(unet_denoiser(unet, scheduler), BANK)(latent, cond, reference, draw)
        for row in range(7):
            timestep, eps = torch.tensor(int(BANK.timesteps[row])), torch.from_numpy(BANK.noises[row : row + 1])
            noisy = scheduler.add_noise(latent[row : row + 1], eps, timestep.reshape(1))
            maps = []
            for tokens in (cond, reference):
                output = unet(noisy, timestep, encoder_hidden_states=tokens[row : row + 1]).sample
                clean = scheduler.step(output, timestep, noisy).pred_original_sample.double()
                alpha = scheduler.alphas_cumprod[timestep].double()
                maps.append(((noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt() - eps).square()[0])
            for loss, expected in zip(losses, maps, strict=True):
                assert float(loss[row]) == pytest.approx(float(expected.mean()), rel=1e-4)
            expected_delta = (maps[1] - maps[0]).mean(dim=0).float()
            assert (delta[row] - expected_delta).abs().max() <= 1e-4 * maps[0].mean()


def test_delta_averages_to_the_difference_of_the_losses_and_is_zero_for_equal_prompts() -> None:
    graph = NoisePredictor(unet_denoiser(two_level_unet(), DDPMScheduler()), BANK)
    latent, cond, reference, draw = rows(5)
    with torch.no_grad():
        delta, loss_prompt, loss_reference = graph(latent, cond, reference, draw)
        equal, _, _ = graph(latent, cond, cond, draw)
    torch.testing.assert_close(delta.mean(dim=(1, 2)), (loss_reference - loss_prompt)[:, 0], rtol=1e-3, atol=1e-6)
    assert float(equal.abs().max()) < 1e-6


def test_an_unknown_parametrisation_is_an_error() -> None:
    with pytest.raises(ValueError, match="sideways"):
        noise_prediction("sideways", *(torch.zeros(1) for _ in range(4)))


@pytest.mark.parametrize("block", ["mid", 0, 1])
def test_features_are_what_a_forward_hook_sees_at_the_block(block: str | int) -> None:
    """The published recipe: noise at t, the whole UNet, the block's output by a hook; pooling and norm after it."""
    unet, scheduler = two_level_unet(), DDPMScheduler()
    latent, cond, _, _ = rows(3)
    noise = torch.randn(LATENT, generator=torch.Generator().manual_seed(1))
    seen: list[Tensor] = []
    module = unet.mid_block if block == "mid" else unet.up_blocks[int(block)]
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        timesteps = torch.full((3,), 161)
        noisy = scheduler.add_noise(latent, noise.expand(3, -1, -1, -1), timesteps)
        unet(noisy, timesteps, encoder_hidden_states=cond)
        handle.remove()
        features = DiftExtractor(unet_denoiser(unet, scheduler), 161, block, noise)(latent, cond)
    pooled = seen[0].mean(dim=(2, 3))
    torch.testing.assert_close(features, pooled / pooled.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_prompts_are_rows_of_the_table() -> None:
    table = torch.randn(4, 2, 8)
    cond, reference = PromptEmbedding(table)(torch.tensor([[3], [0]]), torch.tensor([[1], [1]]))
    torch.testing.assert_close(cond, table[[3, 0]], rtol=0, atol=0)
    torch.testing.assert_close(reference, table[[1, 1]], rtol=0, atol=0)


def test_the_encoder_normalises_pixels_to_minus_one_to_one() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    vae = SpaceToDepth(patch_size=4, channels="rgb", image_size=32)
    latent = VaeEncoder(vae)(torch.from_numpy(image))
    expected = functional.pixel_unshuffle(torch.from_numpy(image.transpose(0, 3, 1, 2) / 127.5 - 1.0), 4)
    torch.testing.assert_close(latent.double(), expected, rtol=0, atol=1e-6)


def test_a_kl_encoder_gives_the_scaled_mean_of_the_posterior() -> None:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        scaling_factor=0.7,
        shift_factor=0.1,
    ).eval()
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        expected = (vae.encode(images).latent_dist.mode() - 0.1) * 0.7
        torch.testing.assert_close(KlEncoder(vae)(images), expected)
