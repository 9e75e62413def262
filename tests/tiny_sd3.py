"""A random Stable Diffusion 3 pipeline of reduced width, saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import nn
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

from benchmarks.export.letter_tokenizer import letter_t5_tokenizer, letter_tokenizer
from export_scripts.pipelines.parts import quiet_loading
from tests.tiny_text_pipeline import TOKENS, tiny_text_encoder, tiny_vae

WIDTH = 16  # of prompts and of the transformer


def tiny_t5(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(vocab_size=vocabulary, d_model=WIDTH, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0)
    ).eval()


def write_sd3(folder: Path, *, shift_factor: float | None = 0.06, **schedule: Any) -> Path:
    """Saves the pipeline in `folder` and returns it. schedule: arguments of its scheduler."""
    torch.manual_seed(5)
    words = letter_t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=24,
        pos_embed_max_size=12,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    ).eval()
    with torch.no_grad():  # fresh modulations are small, and no prompt would be seen in the losses
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.norm1.linear.weight, std=0.5)
    with quiet_loading():
        StableDiffusion3Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(**{"shift": 3.0} | schedule),
            vae=tiny_vae(force_upcast=False, shift_factor=shift_factor),
            text_encoder=tiny_text_encoder(CLIPTextModelWithProjection),
            tokenizer=letter_tokenizer(TOKENS),
            text_encoder_2=tiny_text_encoder(CLIPTextModelWithProjection, activation="gelu"),
            tokenizer_2=letter_tokenizer(TOKENS),
            text_encoder_3=tiny_t5(len(words)),
            tokenizer_3=words,
        ).save_pretrained(folder)
    return folder
