"""Random text-to-image pipelines of reduced width, saved by diffusers: Stable Diffusion 1.x, 2.x (v-prediction), XL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.export.letter_tokenizer import letter_tokenizer
from export_scripts.pipelines.parts import quiet_loading

TOKENS = 24  # "An image of coffee cup." is 21
RESOLUTION = 32  # 16 × 16 latents of 2 px
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tiny_text_encoder(kind: type = CLIPTextModel, *, width: int = 8, activation: str = "quick_gelu") -> Any:
    tokenizer = letter_tokenizer(TOKENS)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        hidden_act=activation,
        projection_dim=12,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def tiny_vae(**config: Any) -> AutoencoderKL:
    """Two levels, so a latent cell is 2 px."""
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.18215,
        **config,
    )


def tiny_unet(**config: Any) -> UNet2DConditionModel:
    """Cross attention in the down and mid blocks."""
    values: dict[str, Any] = {"cross_attention_dim": 8, "attention_head_dim": 2} | config
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
        **values,
    ).eval()


def write_sd1(folder: Path) -> Path:
    """Stable Diffusion 1.x: one CLIP encoder, epsilon, a sampler that is not the training schedule."""
    torch.manual_seed(1)
    return _save_sd(folder, tiny_unet(), tiny_vae(), PNDMScheduler(skip_prk_steps=True, steps_offset=1, **SCHEDULE))


def write_sd2(folder: Path) -> Path:
    """Stable Diffusion 2.x: OpenCLIP's activation, v-prediction, linear projections, attention in float32."""
    torch.manual_seed(2)
    unet = tiny_unet(use_linear_projection=True, upcast_attention=True)
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False, steps_offset=1, **SCHEDULE)
    return _save_sd(folder, unet, tiny_vae(force_upcast=False), scheduler, activation="gelu")


def write_sdxl(folder: Path, *, force_upcast: bool = True, second_width: int = 8) -> Path:
    """Stable Diffusion XL: two encoders side by side, pooled text and time ids beside the timestep."""
    torch.manual_seed(3)
    unet = tiny_unet(
        cross_attention_dim=8 + second_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=12 + 6 * 4,
    )
    with quiet_loading():
        StableDiffusionXLPipeline(
            vae=tiny_vae(force_upcast=force_upcast),
            text_encoder=tiny_text_encoder(),
            text_encoder_2=tiny_text_encoder(CLIPTextModelWithProjection, width=second_width, activation="gelu"),
            tokenizer=letter_tokenizer(TOKENS),
            tokenizer_2=letter_tokenizer(TOKENS),
            unet=unet,
            scheduler=EulerDiscreteScheduler(steps_offset=1, **SCHEDULE),
            add_watermarker=False,
        ).save_pretrained(folder)
    return folder


def _save_sd(folder: Path, unet: Any, vae: Any, scheduler: Any, *, activation: str = "quick_gelu") -> Path:
    with quiet_loading():
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=tiny_text_encoder(activation=activation),
            tokenizer=letter_tokenizer(TOKENS),
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)
    return folder
