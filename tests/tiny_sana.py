"""A random Sana pipeline of reduced width, saved by diffusers: Gemma 2, an AutoencoderDC, a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
from torch import nn
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

from export_scripts.pipelines.parts import quiet_loading
from tests.tiny_sd3 import WIDTH

RESOLUTION = 32  # 8 × 8 latents of 4 px


def gemma_letters() -> GemmaTokenizer:
    """A tokenizer of single letters that begins with <bos>, as Gemma's does."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz."]
    return GemmaTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], add_bos_token=True)


def tiny_gemma(vocabulary: int) -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=512,
            query_pre_attn_scalar=8,
        )
    ).eval()


def tiny_dc() -> AutoencoderDC:
    """Three levels, so a latent cell is 4 px; attention in the last one."""
    levels: dict[str, Any] = {}
    for half in ("encoder", "decoder"):
        levels[f"{half}_block_types"] = ("ResBlock", "ResBlock", "EfficientViTBlock")
        levels[f"{half}_block_out_channels"] = (4, 8, 8)
        levels[f"{half}_layers_per_block"] = (1, 1, 1)
        levels[f"{half}_qkv_multiscales"] = ((), (), (5,))
    return AutoencoderDC(latent_channels=4, attention_head_dim=4, scaling_factor=0.41407, **levels).eval()


def write_sana(folder: Path, *, scheduler: Any = None, **config: Any) -> Path:
    """Saves the pipeline in `folder` and returns it. config: of its transformer."""
    torch.manual_seed(8)
    words = gemma_letters()
    transformer = SanaTransformer2DModel(
        **{
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 2,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 8,
            "cross_attention_dim": 16,
            "caption_channels": WIDTH,
            "sample_size": 8,
            "qk_norm": "rms_norm_across_heads",
            **config,
        }
    ).eval()
    with torch.no_grad():  # fresh weights are small, and no prompt would be seen in the losses
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.attn2.to_v.weight, std=1.0)
            nn.init.normal_(block.attn2.to_out[0].weight, std=1.0)
    flow = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, final_sigmas_type="zero"
    )
    with quiet_loading():
        SanaPipeline(
            tokenizer=words,
            text_encoder=tiny_gemma(len(words)),
            vae=tiny_dc(),
            transformer=transformer,
            scheduler=scheduler or flow,
        ).save_pretrained(folder)
    return folder
