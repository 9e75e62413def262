"""A Stable Diffusion 3 or 3.5 pipeline read into the exporter's record: flow matching, prompts of CLIP and T5.

x_t = (1 - σ) x + σ ε, and the network gives ε - x. A draw is a σ of the scheduler's shifted schedule and a noise. Prompts are
padded and not masked, as in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
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
from export_scripts.pipelines.parts import (
    SourcePipeline,
    chosen_profile,
    digest_of,
    latent_shape,
    native_resolution,
    shifted_encoder,
)
from export_scripts.pipelines.text import make_table
from export_scripts.pipelines.tokens import massive_of, token_mean
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile

KIND = "SD3 transformer"
# Assumed, nobody measured them: the rule and the features' share of the schedule are those of Stable Diffusion 1.5.
RULE, TIMESTEP_SHARE, WINDOW = "null", 0.161, 0.5
PROBES = 2
ISLANDS = ("attn", "attn2", "ff", "ff_context")  # in float16; all else stays in float32, as in dit.py


def read_sd3_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline for the wanted classes. Raises PipelineError for what is not supported."""
    if wanted.classes is None:
        raise PipelineError(f"a {folder.kind} scores any classes: name them in a file, one per line, with --classes")
    pipeline = load_folder(folder)
    transformer = pipeline.transformer.eval()
    with one_line("the VAE"):
        encoder, cell_px = shifted_encoder(folder.kind, folder.path / "vae" / "config.json", pipeline.vae)
    resolution = wanted.resolution or native_resolution(KIND, transformer, cell_px)
    table, schedule = make_table(pipeline, wanted), flow_schedule(pipeline.scheduler)
    (low, high), blocks = default_band(schedule), len(transformer.transformer_blocks)
    timestep = int(TIMESTEP_SHARE * schedule.steps)
    profile = chosen_profile(ScoringProfile(low, high, timestep, blocks // 2, WINDOW, RULE), wanted)
    assert table.pooled is not None
    denoiser = sd3_denoiser(transformer, schedule, (table.tokens[:1], table.pooled[:1]), profile.dift_timestep)
    return SourcePipeline(
        digest=digest_of({k: v for k, v in pipeline.components.items() if k in ("transformer", "vae", "scheduler")}),
        encoder=encoder,
        denoiser=denoiser,
        table=table.tokens,
        prompts=table.prompts,
        classes=wanted.classes,
        class_names=wanted.class_names,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=profile,
        pooled=table.pooled,
        text_digest=table.digest,
        half_encoder=not pipeline.vae.config.force_upcast,
        notes=table.notes,
    )


def sd3_denoiser(transformer: Any, schedule: Schedule, null: Conditions, timestep: int) -> Denoiser:
    """null: the null prompt's tokens [1, L, D] and pooled ones [1, P]. timestep: of features."""
    config, blocks = transformer.config, len(transformer.transformer_blocks)
    width = int(config.num_attention_heads * config.attention_head_dim)
    channels, gives, patch = int(config.in_channels), int(transformer.out_channels), int(config.patch_size)

    def features(timestep: int) -> Sd3Features:
        return Sd3Features(massive_channels(transformer, schedule, null, timestep))

    return Denoiser(
        kind=KIND,
        network=transformer,
        call=whole,
        schedule=schedule,
        prompt=PromptShape(int(config.joint_attention_dim), pooled=int(config.pooled_projection_dim)),
        latents=LatentShape(channels, gives, patch, patch * int(config.pos_embed_max_size)),
        taps=block_taps(features, blocks, width, timestep),
        half=ISLANDS,
    )


def whole(transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """A denoiser's `call`: diffusers' own forward pass, in float32."""
    tokens, pooled = (condition.to(torch.float32) for condition in conditions)
    output: Tensor = transformer(
        hidden_states=noisy, timestep=timesteps, encoder_hidden_states=tokens, pooled_projections=pooled
    ).sample
    return output


@dataclass(frozen=True)
class Sd3Features:
    """What a block's attention is given of the image, see tokens.py. massive: dropped channels, by block."""

    massive: dict[Place, tuple[int, ...]]

    def read(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place
    ) -> Tensor:
        """A denoiser's `tap`."""
        *before, block = transformer.transformer_blocks[: int(place) + 1]
        hidden, text, told = _entered(transformer, noisy, timesteps, conditions)
        for each in before:
            text, hidden = each(hidden_states=hidden, encoder_hidden_states=text, temb=told)
        tokens, *_gates = block.norm1(hidden, emb=told)
        return token_mean(tokens, self.massive[place])


def massive_channels(
    transformer: nn.Module, schedule: Schedule, null: Conditions, timestep: int
) -> dict[Place, tuple[int, ...]]:
    """The channels of massive activations where each block begins, on latents of noise under the null prompt."""
    patch, channels = int(transformer.config.patch_size), int(transformer.config.in_channels)
    side = patch * min(int(transformer.config.sample_size) // patch, int(transformer.config.pos_embed_max_size))
    noise = torch.randn(PROBES, channels, side, side, generator=torch.Generator().manual_seed(0))
    told = schedule.told[min(timestep, schedule.steps - 1)].expand(PROBES)
    found: dict[Place, tuple[int, ...]] = {}
    with torch.no_grad():
        expanded = tuple(condition.expand(PROBES, *condition.shape[1:]) for condition in null)
        hidden, text, embedded = _entered(transformer, noise, told, expanded)
        for number, block in enumerate(transformer.transformer_blocks):
            found[number] = massive_of(hidden)
            text, hidden = block(hidden_states=hidden, encoder_hidden_states=text, temb=embedded)
    return found


def _entered(
    transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions
) -> tuple[Tensor, Tensor, Tensor]:
    """Image tokens, text tokens and the embedded timestep with its pooled prompt, as the first block takes them."""
    tokens, pooled = (condition.to(torch.float32) for condition in conditions)
    hidden = transformer.pos_embed(noisy).contiguous()
    return hidden, transformer.context_embedder(tokens), transformer.time_text_embed(timesteps, pooled)
