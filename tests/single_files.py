"""Single files of weights in the layout that Stable Diffusion's makers published (LDM), from a pipeline that diffusers saved.

The reverse of what diffusers' `from_single_file` does to names, written from the layout's own modules.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

Weights = dict[str, Tensor]
_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def ldm_file(pipeline: Path) -> Weights:
    """All weights of a Stable Diffusion 1.x pipeline in the folder, by their names in one file."""
    unet = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(pipeline / "vae" / "diffusion_pytorch_model.safetensors")
    text = load_file(pipeline / "text_encoder" / "model.safetensors")
    levels = sum(name.endswith("resnets.0.norm1.weight") and name.startswith("decoder.up_blocks") for name in vae)
    return {
        **{f"model.diffusion_model.{_unet_name(name)}": value for name, value in unet.items()},
        **{f"first_stage_model.{_vae_name(name, levels)}": _vae_value(name, value) for name, value in vae.items()},
        **{f"cond_stage_model.transformer.text_model.{k.removeprefix('text_model.')}": v for k, v in text.items()},
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(24)[None],
        "alphas_cumprod": torch.ones(1000),  # what training left behind is in published files too
    }


def _unet_name(name: str, layers: int = 1) -> str:
    """layers: `layers_per_block`, 1 in the tiny pipelines."""
    module, _, kind = name.rpartition(".")
    if module in _TOP:
        return f"{_TOP[module]}.{kind}"
    place, *rest = name.split(".")
    if place == "mid_block":
        part, number, *inner = rest
        return f"middle_block.{2 * int(number) if part == 'resnets' else 1}.{_resnet_name(inner)}"
    block, part, number, *inner = rest
    if part not in ("resnets", "attentions"):
        raise ValueError(f"{name} is not in the tiny UNet")
    index = int(block) * (layers + 1) + int(number) + (place == "down_blocks")
    folder = "input_blocks" if place == "down_blocks" else "output_blocks"
    return f"{folder}.{index}.{int(part == 'attentions')}.{_resnet_name(inner)}"


def _resnet_name(inner: list[str]) -> str:
    return ".".join((_RESNET.get(inner[0], inner[0]), *inner[1:]))


def _vae_name(name: str, levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    half, place, *rest = name.split(".")
    if place == "mid_block":
        part, number, *inner = rest
        if part == "resnets":
            return ".".join((half, "mid", f"block_{int(number) + 1}", *inner))
        inner_name = ".".join(inner)
        for new, old in _ATTENTION.items():
            inner_name = inner_name.replace(new, old)
        return f"{half}.mid.attn_1.{inner_name}"
    if place in ("down_blocks", "up_blocks"):
        block, part, number, *inner = rest
        level = int(block) if place == "down_blocks" else levels - 1 - int(block)
        moved = {"resnets": f"block.{number}", "downsamplers": "downsample", "upsamplers": "upsample"}[part]
        return ".".join((half, place.removesuffix("_blocks"), str(level), moved, *inner))
    return name


def _vae_value(name: str, value: Tensor) -> Tensor:
    """The makers' attention is a convolution of one cell."""
    is_matrix = ".attentions." in name and value.ndim == 2
    return value[:, :, None, None].contiguous() if is_matrix else value
