"""A random Flux.1-dev pipeline of reduced width, saved by diffusers: two streams, then one, and a guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import nn

from benchmarks.export.letter_tokenizer import letter_t5_tokenizer, letter_tokenizer
from export_scripts.pipelines.parts import quiet_loading
from tests.tiny_sd3 import WIDTH, tiny_t5
from tests.tiny_text_pipeline import TOKENS, tiny_text_encoder, tiny_vae

POOLED = 8  # of tiny_text_encoder
SHIFTING = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


def write_flux(
    folder: Path, *, shift_factor: float | None = 0.1159, schedule: dict[str, Any] | None = None, **config: Any
) -> Path:
    """Saves the pipeline in `folder` and returns it. config: of its transformer; schedule: arguments of its scheduler."""
    torch.manual_seed(7)
    words = letter_t5_tokenizer()
    transformer = FluxTransformer2DModel(
        **{
            "in_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "joint_attention_dim": WIDTH,
            "pooled_projection_dim": POOLED,
            "guidance_embeds": True,
            "axes_dims_rope": (2, 2, 4),
            **config,
        }
    ).eval()
    with torch.no_grad():  # fresh modulations are small, and no prompt would be seen in the losses
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.norm1.linear.weight, std=0.5)
    with quiet_loading():
        FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **SHIFTING, **(schedule or {})}),
            vae=tiny_vae(force_upcast=False, shift_factor=shift_factor),
            text_encoder=tiny_text_encoder(),
            tokenizer=letter_tokenizer(TOKENS),
            text_encoder_2=tiny_t5(len(words)),
            tokenizer_2=words,
            transformer=transformer,
        ).save_pretrained(folder)
    return folder
