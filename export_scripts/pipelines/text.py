"""A text-to-image pipeline (Stable Diffusion 1.x, 2.x, XL) read into the exporter's record.

Prompts are encoded by the pipeline's own `encode_prompt`: tokens, masks, layers and poolings are diffusers', not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.loaders import TextualInversionLoaderMixin
from torch import Tensor

from export_scripts.class_list import prompts_of
from export_scripts.errors import PipelineError
from export_scripts.pipelines.encodings import Encoding, encoding_of, size_line
from export_scripts.pipelines.folder import PipelineFolder, load_folder, one_line, open_folder
from export_scripts.pipelines.known_fields import PIPELINES
from export_scripts.pipelines.masked import padded_to
from export_scripts.pipelines.parts import (
    SourcePipeline,
    chosen_profile,
    digest_of,
    encoder_of,
    latent_shape,
    native_resolution,
    training_scheduler,
)
from export_scripts.pipelines.prompt_table import check_distinct, check_lengths, check_rows, row_label
from export_scripts.pipelines.unet import POOLED_ADDITION, TIME_IDS, unet_denoiser
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile

ENCODED_AT_ONCE = 64
TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
# Defaults where no profile was measured; assumed: the band and the features' place from diff-mining's script.
PROFILE = ScoringProfile(
    t_min=0.1, t_max=0.7, dift_timestep=161, dift_block=1, window_fraction=0.5, rule="null", timestep_weights=None
)


@dataclass(frozen=True)
class PromptTable:
    """tokens: [n + 1, L, D], row 0 the null prompt. pooled: [n + 1, P] or None. digest: of the text encoders. notes: lines.

    masked: whether the last column of tokens is a mask (masked.py). Then L is the longest prompt's.
    """

    prompts: tuple[str, ...]
    tokens: Tensor
    pooled: Tensor | None
    digest: str
    notes: tuple[str, ...]
    masked: bool = False

    def fitted(self, length: int) -> PromptTable:
        """The same prompts in a table of `length` tokens a row, where a mask allows that; else as they are."""
        if not self.masked or self.tokens.shape[1] > length:
            return self
        return replace(self, tokens=padded_to(self.tokens, length))


def read_prompts(path: Path, wanted: Wanted) -> PromptTable:
    """The prompt table of the pipeline in `path` for the wanted classes; only its text encoders are loaded."""
    folder = open_folder(path, wanted.files)
    if "text_encoder" not in PIPELINES[folder.kind]:
        raise PipelineError(
            f"{path} is a {folder.kind}, which has no text encoder: name the pipeline of this repository"
        )
    return make_table(load_folder(folder, leave_out=("unet", "transformer", "vae")), wanted)


def read_text_pipeline(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """The parts of the pipeline for the wanted classes. Raises PipelineError for what is not supported."""
    if wanted.classes is None:
        raise PipelineError(f"a {folder.kind} scores any classes: name them in a file, one per line, with --classes")
    pipeline = load_folder(folder)
    unet = pipeline.unet
    with one_line("the VAE"):
        encoder, cell_px = encoder_of(pipeline.vae)
    resolution = wanted.resolution or native_resolution("UNet", unet, cell_px)
    scheduler, table = training_scheduler(pipeline.scheduler), make_table(pipeline, wanted)
    _check_conditions(unet, table.tokens, table.pooled)
    side = float(resolution)
    time_ids = () if table.pooled is None else (side, side, 0.0, 0.0, side, side)
    return SourcePipeline(
        digest=digest_of({k: v for k, v in pipeline.components.items() if k in ("unet", "vae", "scheduler")}),
        encoder=encoder,
        denoiser=unet_denoiser(unet, scheduler, time_ids),
        table=table.tokens,
        prompts=table.prompts,
        classes=wanted.classes,
        class_names=wanted.class_names,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=chosen_profile(PROFILE, wanted),
        pooled=table.pooled,
        text_digest=table.digest,
        half_encoder=not pipeline.vae.config.force_upcast,
        notes=table.notes,
    )


def make_table(pipeline: DiffusionPipeline, wanted: Wanted) -> PromptTable:
    """The wanted classes' prompts as the pipeline's own text encoders give them. Raises PipelineError."""
    if wanted.classes is None:
        raise PipelineError("a prompt table needs classes: name them in a file, one per line, with --classes")
    names = wanted.class_names or wanted.classes
    prompts = prompts_of(names, wanted.prompt, wanted.null_prompt)
    labels = [row_label(wanted.classes, names, row) for row in range(len(prompts))]
    with one_line("a prompt's tokens"):
        encoding = encoding_of(pipeline)
        texts = encoding.texts(pipeline, prompts)
    notes: dict[str, None] = {}
    cut: list[tuple[int, ...]] = [()] * len(prompts)
    lengths = [0] * len(prompts)
    for tokenizer, encoder, most in encoding.tokenizers(pipeline):
        limit = token_limit(tokenizer, encoder, most)
        with one_line("a prompt's tokens"):
            tokens = tokenizer(_with_all_vectors(pipeline, texts, tokenizer)).input_ids
        notes |= dict.fromkeys(check_lengths(labels, [len(row) for row in tokens], limit, wanted.truncate))
        lengths = [min(len(row), limit) for row in tokens]
        # A cut prompt keeps its last token, the end.
        cut = [
            (*seen, *(row if len(row) <= limit else [*row[: limit - 1], row[-1]]))
            for seen, row in zip(cut, tokens, strict=True)
        ]
    notes |= dict.fromkeys(check_distinct(wanted.classes, names, cut))
    with one_line("the prompts' conditions"):
        table, pooled = encode_prompts(pipeline, encoding, prompts, lengths, wanted.tell)
    notes |= dict.fromkeys(check_rows(wanted.classes, names, table, pooled))
    digest = digest_of({name: part for name, part in pipeline.components.items() if name in TEXT_PARTS and part})
    return PromptTable(prompts, table, pooled, digest, tuple(notes), masked=encoding.mask is not None)


def _with_all_vectors(pipeline: DiffusionPipeline, prompts: list[str], tokenizer: Any) -> list[str]:
    """The prompts as diffusers encodes them: a learned token of several vectors stands there with all of them."""
    if not isinstance(pipeline, TextualInversionLoaderMixin):
        return prompts
    written: list[str] = pipeline.maybe_convert_prompt(prompts, tokenizer)
    return written


def token_limit(tokenizer: Any, encoder: Any, most: int | None) -> int:
    """How many tokens of a prompt are encoded: `most`, or what the encoder has positions for.

    Raises PipelineError if tokenizer and encoder do not belong together.
    """
    limit = int(tokenizer.model_max_length) if most is None else most
    positions = int(encoder.config.max_position_embeddings) if most is None else most
    if limit > positions:
        raise PipelineError(
            f"the tokenizer's model_max_length is {limit}, its text encoder takes {positions} tokens: tokenizer_config.json "
            "is incomplete, or of another pipeline"
        )
    if len(tokenizer) > int(encoder.config.vocab_size):
        raise PipelineError(
            f"the tokenizer knows {len(tokenizer)} tokens, its text encoder {encoder.config.vocab_size}: they are not of "
            "the same pipeline"
        )
    return limit


def encode_prompts(
    pipeline: DiffusionPipeline,
    encoding: Encoding,
    prompts: tuple[str, ...],
    lengths: Sequence[int],
    tell: Callable[[str], None],
) -> tuple[Tensor, Tensor | None]:
    """Conditions [n + 1, L, D] of the texts and, where the pipeline has them, pooled ones [n + 1, P]; float32.

    lengths: tokens of each. Masked prompts end with the longest one: what is cut off is padding that no attention sees.
    The size is told once the null prompt is encoded, before all others are.
    """
    null = encoding.encode(pipeline, prompts[:1], lengths[:1])
    length = null.tokens.shape[1] if encoding.mask is None else max(lengths)
    table = torch.zeros(len(prompts), length, null.tokens.shape[2])
    pooled = None if null.pooled is None else torch.zeros(len(prompts), null.pooled.shape[1])
    tell(size_line(len(table), (length, table.shape[2]), 0 if pooled is None else pooled.shape[1]))
    for first in range(0, len(prompts), ENCODED_AT_ONCE):
        rows = slice(first, first + ENCODED_AT_ONCE)
        encoded = encoding.encode(pipeline, prompts[rows], lengths[rows])
        table[rows] = encoded.tokens[:, :length]
        if pooled is not None:
            pooled[rows] = encoded.pooled
    if not prompts[0] and pooled is not None and pipeline.config.get("force_zeros_for_empty_prompt"):
        table[0], pooled[0] = 0.0, 0.0  # what such a pipeline was trained to take for no prompt
    return table, pooled


def _check_conditions(unet: Any, table: Tensor, pooled: Tensor | None) -> None:
    addition = unet.config.addition_embed_type
    if table.shape[2] != unet.config.cross_attention_dim:
        raise PipelineError(
            f"prompts are {table.shape[2]} wide, the UNet's cross attention takes {unet.config.cross_attention_dim}"
        )
    if (addition, pooled is None) not in ((None, True), (POOLED_ADDITION, False)):
        raise PipelineError(
            f"the UNet adds {addition!r} to its timestep and the pipeline gives {'no' if pooled is None else 'a'} pooled "
            f"prompt: none and {POOLED_ADDITION!r} with one are supported"
        )
    if pooled is not None:
        takes = int(unet.config.projection_class_embeddings_input_dim)
        gives = int(pooled.shape[1]) + TIME_IDS * int(unet.config.addition_time_embed_dim)
        if takes != gives:
            raise PipelineError(
                f"the UNet takes {takes} added numbers, a pooled prompt and {TIME_IDS} time ids are {gives}: such as "
                "SDXL's refiner, which is not supported"
            )
