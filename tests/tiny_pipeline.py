"""A random small pipeline of three classes and 32 px images, as a folder: real components, seconds to export."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from export_scripts.small_pipeline import ClassEmbedding, ScoringProfile, SmallPipeline, SpaceToDepth

CLASSES = ("bee", "cup", "kite")
RESOLUTION = 32
DRAWS = 16
PROFILE = ScoringProfile(
    t_min=0.1,
    t_max=0.9,
    dift_timestep=161,
    dift_block="mid",
    window_fraction=0.5,
    rule="rotating-weighted-brightness",
    timestep_weights=(1.0, 2.0),
    brightness_weight=0.25,
)


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """Random weights; latents [16, 8, 8], prompts [2, 8]. One level: exporting takes a second per few blocks."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        attention_head_dim=2,
        cross_attention_dim=8,
        norm_num_groups=4,
    ).eval()


def write_tiny_pipeline(
    folder: Path, *, prediction_type: str = "v_prediction", profile: ScoringProfile = PROFILE, seed: int = 0
) -> Path:
    """Saves the pipeline in `folder` and returns it."""
    unet = tiny_unet(seed)
    vae = SpaceToDepth(patch_size=4, image_size=RESOLUTION, shift=-0.5, scaling_factor=2.0)
    scheduler = DDPMScheduler(prediction_type=prediction_type, clip_sample=False)
    SmallPipeline(vae, ClassEmbedding(CLASSES, tokens=2, width=8), unet, scheduler).save_pretrained(folder)
    profile.save(folder)
    return folder
