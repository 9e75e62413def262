"""A DiT pipeline (Peebles and Xie, arXiv 2212.09748) read into the exporter's record: labels are its prompts.

diffusers keeps a table of labels in every block (the output layer uses the first block's), and each table's last row is
that of no class. The tables leave the network: a prompt is its row of every distinct table, [tables, D], and diffusers'
own forward pass is given prompts where it takes labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from export_scripts.class_list import NULL_PROMPT, PROMPT
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
from export_scripts.pipelines.folder import DIT, PipelineFolder, load_folder, one_line
from export_scripts.pipelines.labels import classes_of, read_labels
from export_scripts.pipelines.parts import (
    KlEncoder,
    SourcePipeline,
    chosen_profile,
    digest_of,
    encoder_of,
    latent_shape,
    native_resolution,
    own_profile,
    training_scheduler,
)
from export_scripts.pipelines.prompt_table import check_rows
from export_scripts.pipelines.tokens import massive_of, token_mean
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile, SpaceToDepth

KIND = "DiT"
# Assumed, nobody measured them: the rule and the features' timestep are those of text pipelines, the band has their noise.
RULE, TIMESTEP, WINDOW = "null", 161, 0.5
PROBES = 2
ISLANDS = ("attn1", "ff")  # in float16; modulation, gates, norms and what they add up to stay in float32


def read_dit_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline. Raises PipelineError for what is not supported."""
    if (wanted.prompt, wanted.null_prompt, wanted.truncate) != (PROMPT, NULL_PROMPT, False):
        raise PipelineError(
            f"a {DIT} knows labels and no text: --prompt, --null-prompt and --truncate say nothing to it"
        )
    labels = read_labels(folder.index.get("id2label"))
    pipeline = load_folder(folder)
    transformer, digest = pipeline.transformer, digest_of(pipeline.components)
    with one_line("the VAE"):
        encoder, cell_px = encoder_of(pipeline.vae)
    resolution = native_resolution(KIND, transformer, cell_px)
    if wanted.resolution not in (None, resolution):
        raise PipelineError(f"this {KIND} knows positions of images of {resolution} px, not {wanted.resolution}")
    table = take_labels(transformer)
    trained = isinstance(encoder, SpaceToDepth)  # by train_small
    ids, names = classes_of(KIND, labels, len(table) - 1, wanted)
    if trained and wanted.classes is None:
        ids = names  # the folders that it was trained on, one of which may be called by another one's index
    notes = check_rows(ids, names, table, None)
    scheduler = training_scheduler(pipeline.scheduler)
    profile = chosen_profile(own_profile(folder.path) if trained else _profile(transformer, scheduler), wanted)
    denoiser = dit_denoiser(transformer, scheduler, table, profile.dift_timestep)
    return SourcePipeline(
        digest=digest,
        encoder=encoder,
        denoiser=denoiser,
        table=table,
        prompts=("", *names),
        classes=ids,
        class_names=() if names == ids else names,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=profile,
        half_encoder=isinstance(encoder, KlEncoder) and not pipeline.vae.config.force_upcast,
        notes=notes,
    )


def _profile(transformer: nn.Module, scheduler: DDPMScheduler) -> ScoringProfile:
    """Defaults: assumed, as above; features are read in the middle block."""
    low, high = default_band(beta_schedule(scheduler))
    middle = len(transformer.transformer_blocks) // 2
    return ScoringProfile(low, high, TIMESTEP, middle, WINDOW, RULE)


class LabelRow(nn.Module):
    """In place of a block's table of labels: prompts [N, tables, D] → the rows [N, D] of its table."""

    def __init__(self, table: int) -> None:
        super().__init__()
        self.table = table

    def forward(self, prompts: Tensor) -> Tensor:
        return prompts[:, self.table]


def take_labels(transformer: nn.Module) -> Tensor:
    """Takes the tables of labels out of the transformer: [n + 1, tables, D], row 0 that of no class.

    Equal tables are one: where all are equal, a prompt is [1, D].
    """
    distinct: list[Tensor] = []
    for block in transformer.transformer_blocks:
        embedding = block.norm1.emb
        labels = embedding.class_embedder.embedding_table.weight.detach()
        known = (i for i, other in enumerate(distinct) if torch.equal(other, labels))
        table = next(known, len(distinct))
        if table == len(distinct):
            distinct.append(labels)
        embedding.class_embedder = LabelRow(table)
    rows = torch.stack(distinct, dim=1)
    return torch.cat((rows[-1:], rows[:-1]))


def dit_denoiser(transformer: Any, scheduler: DDPMScheduler, table: Tensor, timestep: int) -> Denoiser:
    """transformer: without its labels, which are `table`. timestep: of features.

    Raises PipelineError if scheduler and transformer contradict each other.
    """
    config, schedule = transformer.config, beta_schedule(scheduler)
    channels, gives = int(config.in_channels), int(transformer.out_channels)
    if gives == channels and "learned" in str(scheduler.config.variance_type):
        raise PipelineError(
            f"the scheduler's variance_type is {scheduler.config.variance_type}, and the {KIND} gives {gives} channels for "
            f"latents of {channels}, without a sigma: one of both is of another pipeline"
        )
    transformer = transformer.eval()
    blocks, width = len(transformer.transformer_blocks), int(table.shape[2])

    def features(timestep: int) -> DitFeatures:
        return DitFeatures(massive_channels(transformer, schedule, table[:1], timestep))

    return Denoiser(
        kind=KIND,
        network=transformer,
        call=whole,
        schedule=schedule,
        prompt=PromptShape(width, tokens=int(table.shape[1])),
        latents=LatentShape(channels, gives, int(config.patch_size)),
        taps=block_taps(features, blocks, width, timestep),
        learned_sigma=gives != channels,
        half=ISLANDS,
    )


def whole(transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """A denoiser's `call`: diffusers' own forward pass, in float32."""
    output: Tensor = transformer(noisy, timestep=timesteps, class_labels=conditions[0].to(torch.float32)).sample
    return output


@dataclass(frozen=True)
class DitFeatures:
    """Features after DiTF (arXiv 2505.18584): tokens normalised by a block's adaptive layer norm, without the channels of
    massive activations. massive: those channels, by block."""

    massive: dict[Place, tuple[int, ...]]

    def read(
        self, transformer: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place
    ) -> Tensor:
        """A denoiser's `tap`: what a block's attention is given, averaged over tokens; dropped channels are 0."""
        *before, block = transformer.transformer_blocks[: int(place) + 1]
        prompts, hidden = conditions[0].to(torch.float32), transformer.pos_embed(noisy)
        for each in before:
            hidden = each(hidden, timestep=timesteps, class_labels=prompts)
        tokens, *_gates = block.norm1(hidden, timesteps, prompts, hidden_dtype=hidden.dtype)
        return token_mean(tokens, self.massive[place])


def massive_channels(
    transformer: nn.Module, schedule: Schedule, null: Tensor, timestep: int
) -> dict[Place, tuple[int, ...]]:
    """The channels of massive activations where each block begins, on latents of noise without a class.

    They are the same few for all images and tokens. null: [1, tables, D].
    """
    side, channels = int(transformer.config.sample_size), int(transformer.config.in_channels)
    noise = torch.randn(PROBES, channels, side, side, generator=torch.Generator().manual_seed(0))
    steps = torch.full((PROBES,), min(timestep, schedule.steps - 1))
    prompts, found = null.expand(PROBES, -1, -1), {}
    with torch.no_grad():
        hidden = transformer.pos_embed(noise)
        for number, block in enumerate(transformer.transformer_blocks):
            found[number] = massive_of(hidden)
            hidden = block(hidden, timestep=steps, class_labels=prompts)
    return found
