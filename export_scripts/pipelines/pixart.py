"""A PixArt-α or PixArt-Σ pipeline (arXiv 2310.00426, 2403.04692) read into the exporter's record: T5 prompts with a mask.

The prediction is epsilon, the first half of an output with a learned sigma. Where the transformer was trained on it (α at
1,024 px), it is told the image's size and aspect ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.pipelines.denoiser import (
    Conditions,
    Denoiser,
    LatentShape,
    Place,
    PromptShape,
    Schedule,
    beta_schedule,
    block_taps,
    default_band,
)
from export_scripts.pipelines.folder import PipelineFolder, load_folder, one_line
from export_scripts.pipelines.masked import attention_bias, without_mask
from export_scripts.pipelines.parts import (
    SourcePipeline,
    chosen_profile,
    digest_of,
    encoder_of,
    latent_shape,
    native_resolution,
    training_scheduler,
)
from export_scripts.pipelines.text import make_table
from export_scripts.pipelines.tokens import massive_of, modulated, token_mean
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile

KIND = "PixArt transformer"
# Assumed, nobody measured them: the rule and the features' timestep are those of text pipelines, the band has their noise.
RULE, TIMESTEP, WINDOW = "null", 161, 0.5
PROBES = 2
ISLANDS = ("attn1", "attn2", "ff")  # in float16; all else stays in float32, as in dit.py


def read_pixart_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline for the wanted classes. Raises PipelineError for what is not supported."""
    if wanted.classes is None:
        raise PipelineError(f"a {folder.kind} scores any classes: name them in a file, one per line, with --classes")
    pipeline = load_folder(folder)
    transformer, scheduler = pipeline.transformer.eval(), training_scheduler(pipeline.scheduler)
    with one_line("the VAE"):
        encoder, cell_px = encoder_of(pipeline.vae)
    resolution = wanted.resolution or native_resolution(KIND, transformer, cell_px)
    table, schedule = make_table(pipeline, wanted), beta_schedule(scheduler)
    (low, high), blocks = default_band(schedule), len(transformer.transformer_blocks)
    profile = chosen_profile(ScoringProfile(low, high, TIMESTEP, blocks // 2, WINDOW, RULE), wanted)
    return SourcePipeline(
        digest=digest_of({k: v for k, v in pipeline.components.items() if k in ("transformer", "vae", "scheduler")}),
        encoder=encoder,
        denoiser=pixart_denoiser(transformer, scheduler, table.tokens[:1], resolution, profile.dift_timestep),
        table=table.tokens,
        prompts=table.prompts,
        classes=wanted.classes,
        class_names=wanted.class_names,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=profile,
        text_digest=table.digest,
        half_encoder=not pipeline.vae.config.force_upcast,
        notes=table.notes,
    )


class Unsqueezed(nn.Module):
    """A module whose output [N, T, C] gets an axis 1 of one.

    diffusers squeezes axis 1 of what its last projection gives, which does nothing there; ONNX has no squeeze that may do
    nothing.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, tokens: Tensor) -> Tensor:
        given: Tensor = self.module(tokens)
        return given.unsqueeze(1)


def pixart_denoiser(
    transformer: Any, scheduler: DDPMScheduler, null: Tensor, resolution: int, timestep: int
) -> Denoiser:
    """null: the null prompt, masked [1, L, D + 1]. resolution: of images, in pixels. timestep: of features."""
    config, schedule = transformer.config, beta_schedule(scheduler)
    blocks, channels, gives = (
        len(transformer.transformer_blocks),
        int(config.in_channels),
        int(transformer.out_channels),
    )
    width = int(config.num_attention_heads * config.attention_head_dim)
    transformer.proj_out = Unsqueezed(transformer.proj_out)
    runs = PixArtRuns(float(resolution) if transformer.use_additional_conditions else None)

    def features(timestep: int) -> PixArtRuns:
        return replace(runs, massive=runs.massive_channels(transformer, schedule, null, timestep))

    return Denoiser(
        kind=KIND,
        network=transformer,
        call=runs.whole,
        schedule=schedule,
        prompt=PromptShape(int(config.caption_channels or config.cross_attention_dim) + 1, masked=True),
        latents=LatentShape(channels, gives, int(config.patch_size)),
        taps=block_taps(features, blocks, width, timestep),
        learned_sigma=gives != channels,
        half=ISLANDS,
    )


@dataclass(frozen=True)
class PixArtRuns:
    """The two ways that a PixArt transformer runs. side_px: of square images, where it is told of it, else None.
    massive: channels dropped from features, by block."""

    side_px: float | None
    massive: Mapping[Place, tuple[int, ...]] = field(default_factory=dict)

    def whole(self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """A denoiser's `call`: diffusers' own forward pass, in float32."""
        tokens, mask = without_mask(conditions[0], noisy)
        output: Tensor = transformer(
            noisy,
            encoder_hidden_states=tokens,
            timestep=timesteps,
            added_cond_kwargs=self._sizes(noisy.shape[0]),
            encoder_attention_mask=mask,
        ).sample
        return output

    def read(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place
    ) -> Tensor:
        """A denoiser's `tap`: what a block's attention is given, averaged over tokens; dropped channels are 0."""
        *before, block = transformer.transformer_blocks[: int(place) + 1]
        hidden, modulation, prompt = self._entered(transformer, noisy, timesteps, conditions)
        for each in before:
            hidden = each(hidden, timestep=modulation, **prompt)
        return token_mean(modulated(block, hidden, modulation), self.massive[place])

    def massive_channels(
        self, transformer: nn.Module, schedule: Schedule, null: Tensor, timestep: int
    ) -> dict[Place, tuple[int, ...]]:
        """The channels of massive activations where each block begins, on latents of noise under the null prompt."""
        side, channels = int(transformer.config.sample_size), int(transformer.config.in_channels)
        noise = torch.randn(PROBES, channels, side, side, generator=torch.Generator().manual_seed(0))
        steps = torch.full((PROBES,), min(timestep, schedule.steps - 1))
        found: dict[Place, tuple[int, ...]] = {}
        with torch.no_grad():
            hidden, modulation, prompt = self._entered(transformer, noise, steps, (null.expand(PROBES, -1, -1),))
            for number, block in enumerate(transformer.transformer_blocks):
                found[number] = massive_of(hidden)
                hidden = block(hidden, timestep=modulation, **prompt)
        return found

    def _sizes(self, rows: int) -> dict[str, Tensor | None]:
        """What diffusers' transformer takes as `added_cond_kwargs`: height and width [N, 2], their ratio [N, 1]."""
        if self.side_px is None:
            return {"resolution": None, "aspect_ratio": None}
        size = torch.tensor([[self.side_px, self.side_px]])
        return {"resolution": size.expand(rows, -1), "aspect_ratio": torch.ones(1, 1).expand(rows, -1)}

    def _entered(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Image tokens, the modulation of all blocks, and the prompt's arguments, as the first block takes them."""
        tokens, mask = without_mask(conditions[0], noisy)
        hidden = transformer.pos_embed(noisy)
        modulation, _embedded = transformer.adaln_single(
            timesteps, self._sizes(noisy.shape[0]), batch_size=noisy.shape[0], hidden_dtype=hidden.dtype
        )
        if transformer.caption_projection is not None:
            tokens = transformer.caption_projection(tokens)
        return hidden, modulation, {"encoder_hidden_states": tokens, "encoder_attention_mask": attention_bias(mask)}
