"""What can be trained: an architecture's configuration becomes its parts, beside the encoder and the schedule that all share."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers import DDPMScheduler, DiffusionPipeline

from export_scripts.small_pipeline import SpaceToDepth
from export_scripts.training.dit import DitConfig, build_dit
from export_scripts.training.model import ModelConfig, Parts, build_unet

Architecture = ModelConfig | DitConfig


def build(
    config: Architecture, class_names: Sequence[str], channels: str, shift: float, scaling_factor: float
) -> tuple[SpaceToDepth, DDPMScheduler, Parts]:
    """Untrained. `shift` and `scaling_factor` normalise the latents (see `latent_statistics`)."""
    vae = SpaceToDepth(config.patch_size, channels, config.image_size, shift, scaling_factor)
    scheduler = DDPMScheduler(prediction_type=config.prediction_type, clip_sample=False)
    if isinstance(config, DitConfig):
        return vae, scheduler, build_dit(config, class_names, vae)
    return vae, scheduler, build_unet(config, class_names, vae)


def build_pipeline(
    config: Architecture, class_names: Sequence[str], channels: str, shift: float, scaling_factor: float
) -> DiffusionPipeline:
    """The same as a pipeline."""
    vae, scheduler, parts = build(config, class_names, channels, shift, scaling_factor)
    return parts.pipeline(vae, scheduler)
