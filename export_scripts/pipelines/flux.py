"""A Flux.1-dev pipeline read into the exporter's record: flow matching, packed latents, T5 tokens and CLIP's pooled prompt.

The transformer was distilled from guided sampling: it is told a guidance and gives what guidance would have made of the
predictions with and without a prompt. So it has no prediction without one, and classes are contrasted with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor, nn
from torch.nn import functional

from export_scripts.class_list import NULL_PROMPT
from export_scripts.errors import PipelineError
from export_scripts.pipelines.component_files import read_json
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
from export_scripts.pipelines.parts import SourcePipeline, chosen_profile, digest_of, latent_shape, shifted_encoder
from export_scripts.pipelines.text import make_table
from export_scripts.pipelines.tokens import massive_of, token_mean
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile

KIND = "Flux transformer"
NO_NULL = "a model that was distilled from guided sampling has no prediction without a prompt"
# Assumed, nobody measured them: at guidance 1 such a model gives what its teacher predicted under the prompt alone, which is
# what a loss is about; the features' share of the schedule is that of Stable Diffusion 1.5.
GUIDANCE = 1.0
RULE, TIMESTEP_SHARE, WINDOW = "rotating", 0.161, 0.5
PACKED = 2  # cells of a packed token's side
MOST_POSITIONS = 512  # tokens of a side: images of 8,192 px
PROBES, PROBE_TOKENS = 2, 16
TIME_UNIT = 1000.0  # the transformer is told σ, and the scheduler tells thousandths
ISLANDS = ("attn", "ff", "ff_context", "proj_mlp", "single_transformer_blocks.*.proj_out")  # in float16, as in dit.py


def read_flux_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline for the wanted classes. Raises PipelineError for what is not supported."""
    if wanted.classes is None or len(wanted.classes) < 2:
        raise PipelineError(
            f"a {folder.kind} contrasts classes with each other, since {NO_NULL}: name two or more in a file, one per line, with "
            "--classes"
        )
    if wanted.null_prompt != NULL_PROMPT:
        raise PipelineError(f"--null-prompt says nothing to a {folder.kind}: {NO_NULL}")
    _check_guidance(folder)
    pipeline = load_folder(folder)
    transformer = pipeline.transformer.eval()
    with one_line("the VAE"):
        encoder, cell_px = shifted_encoder(folder.kind, folder.path / "vae" / "config.json", pipeline.vae)
    resolution = wanted.resolution or int(pipeline.default_sample_size) * cell_px
    latent = latent_shape(encoder, resolution, cell_px)
    schedule = flow_schedule(fixed_shift(pipeline.scheduler, latent[1] * latent[2] // PACKED**2))
    table = make_table(pipeline, wanted)
    (low, high), timestep = default_band(schedule), int(TIMESTEP_SHARE * schedule.steps)
    middle = (len(transformer.transformer_blocks) + len(transformer.single_transformer_blocks)) // 2
    profile = chosen_profile(ScoringProfile(low, high, timestep, middle, WINDOW, RULE), wanted)
    assert table.pooled is not None
    return SourcePipeline(
        digest=digest_of({k: v for k, v in pipeline.components.items() if k in ("transformer", "vae", "scheduler")}),
        encoder=encoder,
        denoiser=flux_denoiser(transformer, schedule, (table.tokens[:1], table.pooled[:1]), profile.dift_timestep),
        table=table.tokens,
        prompts=table.prompts,
        classes=wanted.classes,
        class_names=wanted.class_names,
        resolution=resolution,
        latent=latent,
        profile=profile,
        pooled=table.pooled,
        text_digest=table.digest,
        half_encoder=not pipeline.vae.config.force_upcast,
        notes=table.notes,
    )


def _check_guidance(folder: PipelineFolder) -> None:
    """Raises PipelineError for a transformer that is told no guidance, before its weights are read."""
    path = folder.path / "transformer" / "config.json"
    if not read_json(path).get("guidance_embeds", False):
        raise PipelineError(
            f"{path}: guidance_embeds is false. Such a Flux transformer is Flux.1-schnell, or can't be told from it, which was "
            "distilled to jump in a few steps: its output is no mean of the velocity, and its errors are no losses. "
            "Flux.1-dev can be exported"
        )


def fixed_shift(scheduler: FlowMatchEulerDiscreteScheduler, tokens: int) -> FlowMatchEulerDiscreteScheduler:
    """A scheduler whose shift depends on the number of an image's tokens, as one of the shift that this number gives.

    μ is linear in the number, and σ' = s σ / (1 + (s - 1) σ) with s = exp(μ), or μ itself of the linear type.
    """
    config = scheduler.config
    if not config.use_dynamic_shifting:
        return scheduler
    mu = calculate_shift(
        tokens, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
    )
    shift = exp(mu) if config.time_shift_type == "exponential" else mu
    fixed: FlowMatchEulerDiscreteScheduler = FlowMatchEulerDiscreteScheduler.from_config(
        config, use_dynamic_shifting=False, shift=shift
    )
    return fixed


class PositionTable(nn.Module):
    """In place of diffusers' rotary positions: the same numbers, read from tables that were made beforehand.

    diffusers computes them in float64 in every pass, which engines do not know. ids [T, 3] → cosines and sines [T, head].
    """

    def __init__(self, positions: Any) -> None:
        super().__init__()
        counted = torch.arange(MOST_POSITIONS)
        self.axes = len(positions.axes_dim)
        for axis, width in enumerate(positions.axes_dim):
            cosines, sines = get_1d_rotary_pos_embed(
                width, counted, theta=positions.theta, use_real=True, freqs_dtype=torch.float64
            )
            self.register_buffer(f"cosines_{axis}", cosines, persistent=False)
            self.register_buffer(f"sines_{axis}", sines, persistent=False)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        rows, axes = ids.to(torch.int64), range(self.axes)
        cosines, sines = (
            torch.cat([self.get_buffer(f"{name}_{axis}").index_select(0, rows[:, axis]) for axis in axes], dim=1)
            for name in ("cosines", "sines")
        )
        return cosines, sines


def flux_denoiser(transformer: Any, schedule: Schedule, null: Conditions, timestep: int) -> Denoiser:
    """null: the null prompt's tokens [1, L, D] and pooled ones [1, P]. timestep: of features."""
    config = transformer.config
    blocks = len(transformer.transformer_blocks) + len(transformer.single_transformer_blocks)
    width, packed = int(config.num_attention_heads * config.attention_head_dim), PACKED**2
    if not isinstance(transformer.pos_embed, PositionTable):
        transformer.pos_embed = PositionTable(transformer.pos_embed)

    def features(timestep: int) -> FluxFeatures:
        return FluxFeatures(massive_channels(transformer, schedule, null, timestep))

    return Denoiser(
        kind=KIND,
        network=transformer,
        call=whole,
        schedule=schedule,
        prompt=PromptShape(int(config.joint_attention_dim), pooled=int(config.pooled_projection_dim)),
        latents=LatentShape(
            int(config.in_channels) // packed, int(transformer.out_channels) // packed, PACKED, PACKED * MOST_POSITIONS
        ),
        taps=block_taps(features, blocks, width, timestep),
        half=ISLANDS,
        no_null=NO_NULL,
    )


def whole(transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """A denoiser's `call`: diffusers' own forward pass on packed latents, in float32."""
    tokens, pooled = (condition.to(torch.float32) for condition in conditions)
    text_ids, image_ids = positions(noisy, tokens)
    output: Tensor = transformer(
        hidden_states=pack(noisy),
        timestep=timesteps / TIME_UNIT,
        guidance=torch.full_like(timesteps, GUIDANCE),
        pooled_projections=pooled,
        encoder_hidden_states=tokens,
        txt_ids=text_ids,
        img_ids=image_ids,
    ).sample
    height, width = (side // PACKED for side in noisy.shape[2:])
    return functional.pixel_shuffle(output.transpose(1, 2).unflatten(2, (height, width)), PACKED)


def pack(latents: Tensor) -> Tensor:
    """Latents [N, C, h, w] as tokens [N, h w / 4, 4 C], each of two by two cells."""
    return functional.pixel_unshuffle(latents, PACKED).flatten(2).transpose(1, 2)


def positions(latents: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Where tokens of a prompt [L, 3] and of packed latents [T, 3] stand: a prompt's all at 0, an image's by row and column."""
    rows, columns = (torch.arange(side // PACKED, dtype=torch.float32) for side in latents.shape[2:])
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2)
    return torch.zeros(tokens.shape[1], 3), functional.pad(grid, (1, 0))


@dataclass(frozen=True)
class FluxFeatures:
    """What a block's attention is given of the image, see tokens.py. massive: dropped channels, by block.

    Blocks are counted through: first those with two streams, then those with one.
    """

    massive: Mapping[Place, tuple[int, ...]]

    def read(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place
    ) -> Tensor:
        """A denoiser's `tap`."""
        two, one = transformer.transformer_blocks, transformer.single_transformer_blocks
        *before, block = [*two, *one][: int(place) + 1]
        hidden, text, given = _entered(transformer, noisy, timesteps, conditions)
        for each in before:
            text, hidden = each(hidden_states=hidden, encoder_hidden_states=text, **given)
        norm = block.norm1 if int(place) < len(two) else block.norm
        tokens, *_gates = norm(hidden, emb=given["temb"])
        return token_mean(tokens, self.massive[place])


def massive_channels(
    transformer: nn.Module, schedule: Schedule, null: Conditions, timestep: int
) -> dict[Place, tuple[int, ...]]:
    """The channels of massive activations where each block begins, on latents of noise under the null prompt's text."""
    side, channels = PACKED * PROBE_TOKENS, int(transformer.config.in_channels) // PACKED**2
    noise = torch.randn(PROBES, channels, side, side, generator=torch.Generator().manual_seed(0))
    told = schedule.told[min(timestep, schedule.steps - 1)].expand(PROBES)
    found: dict[Place, tuple[int, ...]] = {}
    with torch.no_grad():
        expanded = tuple(condition.expand(PROBES, *condition.shape[1:]) for condition in null)
        hidden, text, given = _entered(transformer, noise, told, expanded)
        for number, block in enumerate((*transformer.transformer_blocks, *transformer.single_transformer_blocks)):
            found[number] = massive_of(hidden)
            text, hidden = block(hidden_states=hidden, encoder_hidden_states=text, **given)
    return found


def _entered(
    transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Image tokens, text tokens, and what every block is given beside them, as the first block takes them."""
    tokens, pooled = (condition.to(torch.float32) for condition in conditions)
    embedded = transformer.time_text_embed(timesteps, torch.full_like(timesteps, GUIDANCE * TIME_UNIT), pooled)
    where = transformer.pos_embed(torch.cat(positions(noisy, tokens)))
    given = {"temb": embedded, "image_rotary_emb": where}
    return transformer.x_embedder(pack(noisy)), transformer.context_embedder(tokens), given
