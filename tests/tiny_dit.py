"""A random DiT pipeline of reduced width, saved by diffusers, with the labels that published ones have in model_index.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from torch import nn

from export_scripts.pipelines.parts import quiet_loading
from tests.tiny_text_pipeline import tiny_vae

LABELS = {0: "bee", 1: "cup, mug", 2: "kite"}
RESOLUTION = 32  # 16 × 16 latents of 2 px, 8 × 8 tokens
BLOCKS, WIDTH = 2, 8


def tiny_dit(**config: Any) -> DiTTransformer2DModel:
    """Every block has a table of labels of its own, as after training by diffusers."""
    values: dict[str, Any] = {"out_channels": 8, "num_layers": BLOCKS, "num_embeds_ada_norm": len(LABELS)} | config
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=WIDTH // 2,
        in_channels=4,
        **values,
        sample_size=16,
        patch_size=2,
        norm_num_groups=2,
    ).eval()
    with torch.no_grad():  # fresh modulations are small, and no label would be seen in the losses
        for block in transformer.transformer_blocks:
            nn.init.normal_(block.norm1.linear.weight, std=0.5)
    return transformer


def one_table(transformer: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """The same table in every block, as a conversion of the makers' single table leaves it."""
    tables = [block.norm1.emb.class_embedder.embedding_table for block in transformer.transformer_blocks]
    with torch.no_grad():
        for table in tables[1:]:
            table.weight.copy_(tables[0].weight)
    return transformer


def write_dit(
    folder: Path,
    transformer: DiTTransformer2DModel | None = None,
    labels: Mapping[int, str] | None = LABELS,
    **schedule: Any,
) -> Path:
    """Saves the pipeline in `folder` and returns it. schedule: further arguments of its scheduler."""
    torch.manual_seed(4)
    transformer = transformer or tiny_dit()
    with quiet_loading():
        DiTPipeline(
            transformer, tiny_vae(force_upcast=False), DDIMScheduler(clip_sample=False, **schedule)
        ).save_pretrained(folder)
    if labels is not None:
        index = folder / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | {"id2label": labels}))
    return folder
