"""The UNet of a small pipeline, Stable Diffusion 1.x, 2.x and XL as a denoiser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.pipelines.denoiser import (
    Conditions,
    Denoiser,
    LatentShape,
    Place,
    PromptShape,
    Taps,
    beta_schedule,
)

POOLED_ADDITION = "text_time"  # SDXL: pooled text and time ids are added to the timestep's embedding
TIME_IDS = 6
MID = "mid"


def unet_denoiser(unet: UNet2DConditionModel, scheduler: DDPMScheduler, time_ids: tuple[float, ...] = ()) -> Denoiser:
    """time_ids: what SDXL's UNet is told of an image's size: original height and width, crop's top and left, height and
    width, in pixels. Raises PipelineError for prompts of several widths."""
    config, runs = unet.config, Runs(time_ids)
    if not isinstance(config.cross_attention_dim, int):
        raise PipelineError(f"the UNet's cross_attention_dim is {config.cross_attention_dim}: one width is supported")
    levels, blocks = tuple(config.block_out_channels), len(unet.up_blocks)
    # Up-blocks go through the levels from the last to the first.
    widths: dict[Place, int] = {MID: int(levels[-1])} | {i: int(c) for i, c in enumerate(levels[::-1])}
    pooled = 0
    if config.addition_embed_type == POOLED_ADDITION:
        pooled = int(config.projection_class_embeddings_input_dim) - TIME_IDS * int(config.addition_time_embed_dim)
    return Denoiser(
        kind="UNet",
        network=unet.eval(),
        call=runs.whole,
        schedule=beta_schedule(scheduler),
        prompt=PromptShape(config.cross_attention_dim, pooled=pooled),
        latents=LatentShape(int(config.in_channels), int(config.out_channels), 2**unet.num_upsamplers),
        taps=Taps(runs.up_to, widths, f"{MID!r} and the up-blocks 0 to {blocks - 1}"),
    )


@dataclass(frozen=True)
class Runs:
    """The two ways that a UNet runs. time_ids: as above."""

    time_ids: tuple[float, ...] = ()

    def whole(self, unet: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """A denoiser's `call`."""
        added = self._added(conditions)
        output: Tensor = unet(noisy.to(_dtype(unet)), timesteps, conditions[0], added_cond_kwargs=added).sample
        return output

    def up_to(self, unet: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place) -> Tensor:
        """A denoiser's `tap`: behind the mid block or an up-block."""
        added, up_blocks = self._added(conditions), 0 if place == MID else int(place) + 1
        hidden = partial_unet(unet, noisy.to(_dtype(unet)), timesteps, conditions[0], up_blocks, added)
        return hidden.to(torch.float32).mean(dim=(2, 3))

    def _added(self, conditions: Conditions) -> dict[str, Tensor]:
        """What diffusers' UNet takes as `added_cond_kwargs`: pooled [N, P] and time ids [N, 6], or nothing."""
        if len(conditions) == 1 or not self.time_ids:
            return {}
        # In float32, as the time embedding that diffusers joins to it is: the exporter would not promote a float16 one.
        pooled = conditions[1].to(torch.float32)
        return {"text_embeds": pooled, "time_ids": torch.tensor([self.time_ids]).expand(pooled.shape[0], -1)}


def partial_unet(
    unet: nn.Module,
    noisy: Tensor,
    timesteps: Tensor,
    cond: Tensor,
    up_blocks: int,
    added: dict[str, Tensor] | None = None,
) -> Tensor:
    """The UNet's hidden states [N, F, h', w'] after the mid block and its first `up_blocks` up-blocks.

    The submodules are called in the order of UNet2DConditionModel.forward. Latents must be divisible by the UNet's
    downsampling.
    """
    added = added or {}
    embedding = unet.time_embedding(unet.get_time_embed(sample=noisy, timestep=timesteps))
    addition = unet.get_aug_embed(emb=embedding, encoder_hidden_states=cond, added_cond_kwargs=added)
    embedding = embedding if addition is None else embedding + addition
    cond = unet.process_encoder_hidden_states(encoder_hidden_states=cond, added_cond_kwargs=added)
    hidden: Tensor = unet.conv_in(noisy)
    residuals: tuple[Tensor, ...] = (hidden,)
    for block in unet.down_blocks:
        hidden, outputs = block(hidden_states=hidden, temb=embedding, **_attended(block, cond))
        residuals += outputs
    hidden = unet.mid_block(hidden, embedding, **_attended(unet.mid_block, cond))
    for block in unet.up_blocks[:up_blocks]:
        own, residuals = residuals[-len(block.resnets) :], residuals[: -len(block.resnets)]
        hidden = block(hidden_states=hidden, temb=embedding, res_hidden_states_tuple=own, **_attended(block, cond))
    return hidden


def _dtype(unet: nn.Module) -> torch.dtype:
    """float32, or float16 for a half copy, whose norms stay in float32."""
    found: torch.dtype = unet.conv_in.weight.dtype
    return found


def _attended(block: nn.Module, cond: Tensor) -> dict[str, Tensor]:
    return {"encoder_hidden_states": cond} if getattr(block, "has_cross_attention", False) else {}
