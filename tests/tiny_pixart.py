"""Random PixArt pipelines of reduced width, saved by diffusers: Σ, and α, whose transformer is told the image's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from torch import nn
from transformers import T5Tokenizer

from benchmarks.export.letter_tokenizer import letter_t5_tokenizer
from export_scripts.pipelines.parts import quiet_loading
from tests.tiny_sd3 import WIDTH, tiny_t5
from tests.tiny_text_pipeline import tiny_vae

BLOCKS, HEAD = 2, 12


def tiny_pixart(**config: Any) -> PixArtTransformer2DModel:
    """24 channels inside, prompts of WIDTH, a learned sigma."""
    values: dict[str, Any] = {"out_channels": 8} | config
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=HEAD,
        in_channels=4,
        num_layers=BLOCKS,
        cross_attention_dim=2 * HEAD,
        caption_channels=WIDTH,
        sample_size=16,
        **values,
    ).eval()
    with torch.no_grad():  # fresh weights are small, and no prompt would be seen in the losses
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.attn2.to_v.weight, std=1.0)
            nn.init.normal_(block.attn2.to_out[0].weight, std=1.0)
    return transformer


def write_pixart_sigma(folder: Path, kind: type = PixArtSigmaPipeline, **config: Any) -> Path:
    """Saves the pipeline in `folder` and returns it. config: of its transformer; tokenizer: its own."""
    torch.manual_seed(6)
    words: T5Tokenizer = config.pop("tokenizer", None) or letter_t5_tokenizer()
    with quiet_loading():
        kind(
            tokenizer=words,
            text_encoder=tiny_t5(len(words)),
            vae=tiny_vae(force_upcast=False),
            transformer=tiny_pixart(**config),
            scheduler=DPMSolverMultistepScheduler(),
        ).save_pretrained(folder)
    return folder


def write_pixart_alpha(folder: Path) -> Path:
    """As above, of α with the added conditions of its 1,024 px model."""
    return write_pixart_sigma(folder, PixArtAlphaPipeline, use_additional_conditions=True)
