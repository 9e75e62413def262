"""A Sana pipeline (arXiv 2410.10629) read into the exporter's record: flow matching, Gemma's tokens with a mask.

Latents are of an AutoencoderDC: 32 px a cell, 32 channels. Prompts are captions as they are, without the instruction that
diffusers puts before them to have an image embellished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.pipelines.denoiser import (
    Conditions,
    Denoiser,
    LatentShape,
    Place,
    PromptShape,
    Schedule,
    block_taps,
    default_band,
    flow_schedule,
)
from export_scripts.pipelines.folder import PipelineFolder, load_folder, one_line
from export_scripts.pipelines.linear_attention import guard
from export_scripts.pipelines.masked import attention_bias, without_mask
from export_scripts.pipelines.parts import (
    SourcePipeline,
    chosen_profile,
    digest_of,
    encoder_of,
    latent_shape,
    native_resolution,
)
from export_scripts.pipelines.text import make_table
from export_scripts.pipelines.tokens import massive_of, modulated, token_mean
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile

KIND = "Sana transformer"
# Assumed, nobody measured them: the rule and the features' share of the schedule are those of Stable Diffusion 1.5.
RULE, TIMESTEP_SHARE, WINDOW = "null", 0.161, 0.5
PROBES = 2
ISLANDS = ("attn1", "attn2", "ff")  # in float16; all else stays in float32, as in dit.py


def read_sana_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline for the wanted classes. Raises PipelineError for what is not supported."""
    if wanted.classes is None:
        raise PipelineError(f"a {folder.kind} scores any classes: name them in a file, one per line, with --classes")
    pipeline = load_folder(folder)
    transformer = pipeline.transformer.eval()
    with one_line("the VAE"):
        encoder, cell_px = encoder_of(pipeline.vae)
    guard(encoder)
    guard(transformer)
    resolution = wanted.resolution or native_resolution(KIND, transformer, cell_px)
    schedule, table = flow_schedule(flow_scheduler(pipeline.scheduler)), make_table(pipeline, wanted)
    (low, high), blocks = default_band(schedule), len(transformer.transformer_blocks)
    timestep = int(TIMESTEP_SHARE * schedule.steps)
    profile = chosen_profile(ScoringProfile(low, high, timestep, blocks // 2, WINDOW, RULE), wanted)
    return SourcePipeline(
        digest=digest_of({k: v for k, v in pipeline.components.items() if k in ("transformer", "vae", "scheduler")}),
        encoder=encoder,
        denoiser=sana_denoiser(transformer, schedule, table.tokens[:1], profile.dift_timestep),
        table=table.tokens,
        prompts=table.prompts,
        classes=wanted.classes,
        class_names=wanted.class_names,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=profile,
        text_digest=table.digest,
        notes=table.notes,
    )


def flow_scheduler(scheduler: Any) -> FlowMatchEulerDiscreteScheduler:
    """The flow that the transformer was trained on, whatever sampler steps through it: both shift σ by one number.

    Raises PipelineError for a sampler of betas.
    """
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return scheduler
    config = scheduler.config
    if (config.prediction_type, config.use_flow_sigmas) != ("flow_prediction", True):
        raise PipelineError(
            f"the scheduler's prediction_type is {config.prediction_type} and its use_flow_sigmas {config.use_flow_sigmas}: a "
            f"{KIND} is trained by flow matching, so they are flow_prediction and True, or the scheduler is a FlowMatchEuler one"
        )
    return FlowMatchEulerDiscreteScheduler(config.num_train_timesteps, shift=config.flow_shift)


def sana_denoiser(transformer: Any, schedule: Schedule, null: Tensor, timestep: int) -> Denoiser:
    """null: the null prompt, masked [1, L, D + 1]. timestep: of features."""
    config, blocks = transformer.config, len(transformer.transformer_blocks)
    width = int(config.num_attention_heads * config.attention_head_dim)
    channels = int(config.in_channels)

    def features(timestep: int) -> SanaFeatures:
        return SanaFeatures(massive_channels(transformer, schedule, null, timestep))

    return Denoiser(
        kind=KIND,
        network=transformer,
        call=whole,
        schedule=schedule,
        prompt=PromptShape(int(config.caption_channels) + 1, masked=True),
        latents=LatentShape(channels, int(config.out_channels or channels), int(config.patch_size)),
        taps=block_taps(features, blocks, width, timestep),
        half=ISLANDS,
    )


def whole(transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """A denoiser's `call`: diffusers' own forward pass, in float32."""
    tokens, mask = without_mask(conditions[0], noisy)
    output: Tensor = transformer(
        noisy,
        encoder_hidden_states=tokens,
        timestep=timesteps * transformer.config.timestep_scale,
        encoder_attention_mask=mask,
    ).sample
    return output


@dataclass(frozen=True)
class SanaFeatures:
    """What a block's attention is given, see tokens.py. massive: dropped channels, by block."""

    massive: Mapping[Place, tuple[int, ...]]

    def read(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place
    ) -> Tensor:
        """A denoiser's `tap`."""
        *before, block = transformer.transformer_blocks[: int(place) + 1]
        hidden, given = _entered(transformer, noisy, timesteps, conditions)
        for each in before:
            hidden = each(hidden, **given)
        return token_mean(modulated(block, hidden, given["timestep"]), self.massive[place])


def massive_channels(
    transformer: nn.Module, schedule: Schedule, null: Tensor, timestep: int
) -> dict[Place, tuple[int, ...]]:
    """The channels of massive activations where each block begins, on latents of noise under the null prompt."""
    side, channels = int(transformer.config.sample_size), int(transformer.config.in_channels)
    noise = torch.randn(PROBES, channels, side, side, generator=torch.Generator().manual_seed(0))
    told = schedule.told[min(timestep, schedule.steps - 1)].expand(PROBES)
    found: dict[Place, tuple[int, ...]] = {}
    with torch.no_grad():
        hidden, given = _entered(transformer, noise, told, (null.expand(PROBES, -1, -1),))
        for number, block in enumerate(transformer.transformer_blocks):
            found[number] = massive_of(hidden)
            hidden = block(hidden, **given)
    return found


def _entered(
    transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions
) -> tuple[Tensor, dict[str, Any]]:
    """Image tokens, and what every block is given beside them, as the first block takes them."""
    tokens, mask = without_mask(conditions[0], noisy)
    hidden, told = transformer.patch_embed(noisy), timesteps * transformer.config.timestep_scale
    modulation, _embedded = transformer.time_embed(told, batch_size=noisy.shape[0], hidden_dtype=hidden.dtype)
    height, width = (side // int(transformer.config.patch_size) for side in noisy.shape[2:])
    return hidden, {
        "timestep": modulation,
        "encoder_hidden_states": transformer.caption_norm(transformer.caption_projection(tokens)),
        "encoder_attention_mask": attention_bias(mask),
        "height": height,
        "width": width,
    }
