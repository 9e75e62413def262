"""Single files of weights in the layout that Stable Diffusion 3's makers published, from a pipeline that diffusers saved."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.single_files import Weights, vae_part

START = "model.diffusion_model."
_TOP = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_BLOCK = {
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_JOINED = {  # queries, whose keys and values lie in the same matrix
    "attn.to_q": ("x_block.attn.qkv", "to_k", "to_v"),
    "attn.add_q_proj": ("context_block.attn.qkv", "add_k_proj", "add_v_proj"),
    "attn2.to_q": ("x_block.attn2.qkv", "to_k", "to_v"),
}


def sd3_file(pipeline: Path) -> Weights:
    """The transformer, the VAE and T5 of the pipeline in the folder; CLIP is left out, as in the makers' smaller files."""
    transformer = load_file(pipeline / "transformer" / "diffusion_pytorch_model.safetensors")
    t5 = load_file(pipeline / "text_encoder_3" / "model.safetensors")
    blocks = 1 + max(int(name.split(".")[1]) for name in transformer if name.startswith("transformer_blocks."))
    result: Weights = {}
    for name, value in transformer.items():
        module, _, kind = name.rpartition(".")
        if not name.startswith("transformer_blocks."):
            value = _halves_swapped(value) if module == "norm_out.linear" else value
            result[f"{START}{_TOP.get(name) or f'{_TOP.get(module, module)}.{kind}'}"] = value
            continue
        _, number, part = module.split(".", 2)
        place = f"{START}joint_blocks.{number}."
        if part in _JOINED:
            joined, *others = _JOINED[part]
            before = name.removesuffix(f"{part.split('.')[1]}.{kind}")
            result[f"{place}{joined}.{kind}"] = torch.cat(
                [value, *(transformer[f"{before}{o}.{kind}"] for o in others)]
            )
        elif part in _BLOCK:
            swapped = part == "norm1_context.linear" and int(number) == blocks - 1
            result[f"{place}{_BLOCK[part]}.{kind}"] = _halves_swapped(value) if swapped else value
    return result | vae_part(pipeline) | {f"text_encoders.t5xxl.transformer.{k}": v for k, v in t5.items()}


def _halves_swapped(value: Tensor) -> Tensor:
    """The makers put the shift first, diffusers the scale."""
    first, second = value.chunk(2, dim=0)
    return torch.cat([second, first])
