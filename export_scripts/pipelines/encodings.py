"""How each pipeline's own `encode_prompt` is called, what comes back, and how large the table of its answers will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from export_scripts.errors import PipelineError
from export_scripts.pipelines.folder import FLUX, PIXART_ALPHA, PIXART_SIGMA, SANA, SD3
from export_scripts.pipelines.masked import with_mask
from export_scripts.pipelines.prompt_table import check_masks

GIB, MIB = 1 << 30, 1 << 20
_ALONE: Mapping[str, Any] = {"do_classifier_free_guidance": False}  # the prompt without a negative one


@dataclass(frozen=True)
class Encoding:
    """tokens: most tokens of a tokenizer, by the end of its slot's name; None is what its encoder has positions for.

    arguments: of encode_prompt. pooled, mask: the place of each among what comes back, if it is there. lowered: whether the
    pipeline makes its own text of a prompt first (lower case, without spaces around).
    """

    tokens: Mapping[str, int | None]
    arguments: Mapping[str, Any] = field(default_factory=lambda: _ALONE)
    pooled: int | None = None
    mask: int | None = None
    lowered: bool = False

    def texts(self, pipeline: DiffusionPipeline, prompts: Sequence[str]) -> list[str]:
        """The prompts as the tokenizer is given them."""
        texts: list[str] = pipeline._text_preprocessing(list(prompts)) if self.lowered else list(prompts)
        return texts

    def tokenizers(self, pipeline: DiffusionPipeline) -> list[tuple[Any, Any, int | None]]:
        """Each tokenizer whose prompts may be too long, its encoder, and the most tokens as above."""
        parts = pipeline.components
        return [(parts[f"tokenizer{end}"], parts[f"text_encoder{end}"], most) for end, most in self.tokens.items()]

    def encode(self, pipeline: DiffusionPipeline, prompts: Sequence[str], lengths: Sequence[int]) -> Encoded:
        """Conditions of the prompts in float32. lengths: tokens of each.

        Raises PipelineError for a mask that keeps others than these.
        """
        with torch.no_grad():
            given = pipeline.encode_prompt(
                list(prompts), device=torch.device("cpu"), num_images_per_prompt=1, **self.arguments
            )
        tokens = given[0].to(torch.float32)
        pooled = None if self.pooled is None else given[self.pooled].to(torch.float32)
        if self.mask is not None:
            check_masks(prompts, lengths, given[self.mask])
            tokens = with_mask(tokens, given[self.mask])
        return Encoded(tokens, pooled)


@dataclass(frozen=True)
class Encoded:
    """tokens: [N, L, D], with a mask as their last column where the kind has one. pooled: [N, P] or None."""

    tokens: Tensor
    pooled: Tensor | None


_CLIP = Encoding({"": None})
_CLIPS = Encoding({"": None, "_2": None}, pooled=2)
ENCODINGS: Mapping[str, Encoding] = {
    "StableDiffusionXLPipeline": _CLIPS,
    "StableDiffusionXLImg2ImgPipeline": _CLIPS,
    SD3: Encoding(_CLIPS.tokens, {**_ALONE, "prompt_2": None, "prompt_3": None}, pooled=2),  # T5 takes more than CLIP
    PIXART_ALPHA: Encoding({"": 120}, mask=1, lowered=True),
    PIXART_SIGMA: Encoding({"": 300}, mask=1, lowered=True),
    FLUX: Encoding({"": None, "_2": 512}, {}, pooled=1),
    SANA: Encoding({"": 300}, mask=1, lowered=True),
}
"""By the class of the pipeline. The lengths are encode_prompt's own, and so is a caption that is not cleaned."""


def encoding_of(pipeline: DiffusionPipeline) -> Encoding:
    """That of the pipeline. Raises PipelineError if its tokenizer leaves out the mask that its denoiser needs."""
    encoding = ENCODINGS.get(type(pipeline).__name__, _CLIP)
    for tokenizer, _, _ in encoding.tokenizers(pipeline) if encoding.mask is not None else ():
        if "attention_mask" not in tokenizer.model_input_names:
            raise PipelineError(
                f"the tokenizer gives no attention_mask (its model_input_names are {', '.join(tokenizer.model_input_names)}): "
                "without the mask, the padding of a prompt would be read as words; mend tokenizer_config.json"
            )
    return encoding


def size_line(rows: int, tokens: tuple[int, int], pooled: int) -> str:
    """What a table of prompts will take, said before it is made. tokens: (L, D) of a row. pooled: numbers beside them."""
    row = 2 * (tokens[0] * tokens[1] + pooled)
    beside = f" and {pooled} pooled" if pooled else ""
    return (
        f"the prompt table has {rows} rows of {tokens[0]} x {tokens[1]}{beside} numbers: {rows * row / GIB:.2f} GiB in fp16, "
        f"{row / MIB:.2f} MiB a row; twice that in fp32 and while it is made"
    )
