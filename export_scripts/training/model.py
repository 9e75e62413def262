"""What the small pipeline of a UNet is made of, and the loss that any small pipeline is trained with.

Shapes: latents (N, C, h, w); timesteps (N,) int64; rows (N,) int64 of the prompt table, 0 for no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from export_scripts.small_pipeline import ClassEmbedding, SmallPipeline, SpaceToDepth


@dataclass(frozen=True)
class ModelConfig:
    """The defaults are the built-in pipeline's (docs/decisions/003-small-pipeline.md has the alternatives)."""

    image_size: int = 64
    patch_size: int = 4
    block_channels: tuple[int, ...] = (32, 64, 96)
    attention_levels: tuple[int, ...] = ()
    layers_per_block: int = 1
    heads: int = 4
    tokens: int = 4
    width: int = 64
    norm_groups: int = 8
    prediction_type: str = "v_prediction"


@dataclass(frozen=True)
class NoiseConfig:
    """Which timesteps are trained. `band`, as fractions of the schedule, is what scores will use."""

    band: tuple[float, float] = (0.4, 0.85)
    band_share: float = 0.85
    zoom_share_in_band: float = 0.1
    zoom_share_outside: float = 0.6  # mostly the features' timesteps, whose images are crops
    drop_share: float = 0.12  # of the conditions, replaced by the null prompt


class Parts(nn.Module):
    """What is trained of a pipeline, whatever its architecture: latents, timesteps, prompt rows -> prediction (N, C, h, w)."""

    def pipeline(self, vae: SpaceToDepth, scheduler: DDPMScheduler) -> DiffusionPipeline:
        """The parts as a pipeline that diffusers saves."""
        raise NotImplementedError


class UnetParts(Parts):
    """Those of a UNet: itself and its learned prompts."""

    def __init__(self, unet: UNet2DConditionModel, class_embedding: ClassEmbedding) -> None:
        super().__init__()
        self.unet = unet
        self.class_embedding = class_embedding

    def forward(self, latents: Tensor, timesteps: Tensor, rows: Tensor) -> Tensor:
        prediction: Tensor = self.unet(latents, timesteps, self.class_embedding(rows)).sample
        return prediction

    def pipeline(self, vae: SpaceToDepth, scheduler: DDPMScheduler) -> SmallPipeline:
        return SmallPipeline(vae, self.class_embedding, self.unet, scheduler)


def build_unet(config: ModelConfig, class_names: Sequence[str], vae: SpaceToDepth) -> UnetParts:
    """An untrained UNet for the latents of `vae`."""
    levels = len(config.block_channels)
    attention = [level in config.attention_levels for level in range(levels)]
    unet = UNet2DConditionModel(
        sample_size=vae.latent_size,
        in_channels=vae.latent_channels,
        out_channels=vae.latent_channels,
        block_out_channels=config.block_channels,
        layers_per_block=config.layers_per_block,
        down_block_types=tuple("CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)),
        attention_head_dim=config.heads,  # diffusers: this is the number of heads
        cross_attention_dim=config.width,
        addition_embed_type="text",  # the prompt also enters the time embedding, hence every block
        addition_embed_type_num_heads=config.heads,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=config.norm_groups,
    )
    return UnetParts(unet, ClassEmbedding(list(class_names), config.tokens, config.width))


def latent_statistics(pixels: Tensor) -> tuple[float, float]:
    """(shift, scaling_factor) that give images (N, C, S, S) in [-1, 1] zero mean and unit variance."""
    return float(pixels.mean()), float(1 / pixels.std().clamp_min(1e-3))


def sample_timesteps(config: NoiseConfig, count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(timesteps (count,) int64, in_band (count,) bool): the band with its share, else the rest of the schedule."""
    low, high = (round(fraction * steps) for fraction in config.band)
    in_band = torch.rand(count, generator=generator) < config.band_share
    uniform = torch.rand(count, generator=generator)
    inside = low + (uniform * (high - low)).long()
    outside = (uniform * (steps - (high - low))).long()
    outside = torch.where(outside < low, outside, outside + (high - low))
    return torch.where(in_band, inside, outside), in_band


def denoising_loss(
    model: Parts, scheduler: DDPMScheduler, latents: Tensor, rows: Tensor, timesteps: Tensor, noise: Tensor
) -> Tensor:
    """Mean squared error of the prediction, a scalar in fp32."""
    noisy = scheduler.add_noise(latents, noise, timesteps)
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(latents, noise, timesteps)
    else:
        target = noise
    return functional.mse_loss(model(noisy, timesteps, rows).float(), target)
