"""Single files of weights in the layouts that Stable Diffusion's makers published, from a pipeline that diffusers saved.

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
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OPENCLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm": "ln_",
    "fc1": "c_fc",
    "fc2": "c_proj",
    "self_attn": "attn",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def ldm_file(pipeline: Path) -> Weights:
    """All weights of a Stable Diffusion 1.x pipeline in the folder, by their names in one file."""
    return _denoiser_and_vae(pipeline) | _clip(pipeline, "cond_stage_model.transformer.text_model.")


def sd2_file(pipeline: Path) -> Weights:
    """As ldm_file for Stable Diffusion 2.x: OpenCLIP, with a last layer that its prompts do not use."""
    start = "cond_stage_model.model."
    text = _openclip(pipeline, "text_encoder", start)
    layers = [name for name in text if name.startswith(f"{start}transformer.resblocks.1.")]
    unused = {name.replace("resblocks.1.", "resblocks.2."): torch.zeros_like(text[name]) for name in layers}
    return _denoiser_and_vae(pipeline) | text | unused


def sdxl_file(pipeline: Path) -> Weights:
    """As ldm_file for Stable Diffusion XL: CLIP and OpenCLIP."""
    first = _clip(pipeline, "conditioner.embedders.0.transformer.text_model.")
    return _denoiser_and_vae(pipeline) | first | _openclip(pipeline, "text_encoder_2", "conditioner.embedders.1.model.")


def _denoiser_and_vae(pipeline: Path) -> Weights:
    unet = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    return {
        **{f"model.diffusion_model.{_unet_name(name)}": value for name, value in unet.items()},
        **vae_part(pipeline),
        "alphas_cumprod": torch.ones(1000),  # what training left behind is in published files too
    }


def vae_part(pipeline: Path) -> Weights:
    """The VAE's weights by their names in one file."""
    vae = load_file(pipeline / "vae" / "diffusion_pytorch_model.safetensors")
    levels = sum(name.endswith("resnets.0.norm1.weight") and name.startswith("decoder.up_blocks") for name in vae)
    return {f"first_stage_model.{_vae_name(name, levels)}": _vae_value(name, value) for name, value in vae.items()}


def _clip(pipeline: Path, start: str) -> Weights:
    text = load_file(pipeline / "text_encoder" / "model.safetensors")
    named = {f"{start}{name.removeprefix('text_model.')}": value for name, value in text.items()}
    return named | {f"{start}embeddings.position_ids": torch.arange(24)[None]}


def _openclip(pipeline: Path, slot: str, start: str) -> Weights:
    """Queries, keys and values are one matrix, and the projection is transposed."""
    text = {k.removeprefix("text_model."): v for k, v in load_file(pipeline / slot / "model.safetensors").items()}
    result: Weights = {}
    for name, value in text.items():
        if ".q_proj." in name:
            joined = torch.cat([text[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"])
            name, value = name.replace("q_proj.weight", "in_proj_weight").replace("q_proj.bias", "in_proj_bias"), joined
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        if name == "text_projection.weight":
            name, value = "text_projection", value.T.contiguous()
        for new, old in _OPENCLIP.items():
            name = name.replace(new, old)
        result[f"{start}{name}"] = value
    return result


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
