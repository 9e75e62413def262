"""What the exporter takes from a diffusers pipeline, whatever its kind.

Owns reading a pipeline folder into one record. Must not know ONNX or Triton. A new kind of pipeline (Stable Diffusion:
a table made by its text encoders) is one more loader here; nothing behind this record changes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.graphs import PREDICTION_TYPES
from export_scripts.small_pipeline import ScoringProfile, SmallPipeline, SpaceToDepth


@dataclass(frozen=True)
class SourcePipeline:
    """The parts of a pipeline in eager torch, float32.

    digest: 16 hex digits of all weights and configs. encoder: images [N, 3, S, S] in [-1, 1] → latents [N, C, h, w].
    resolution: S. latent: (C, h, w). table: [n + 1, L, D], row 0 the null prompt. prompts: n + 1 texts, in the table's
    order. classes: n names.
    """

    digest: str
    encoder: nn.Module
    unet: UNet2DConditionModel
    scheduler: DDPMScheduler
    table: Tensor
    prompts: tuple[str, ...]
    classes: tuple[str, ...]
    resolution: int
    latent: tuple[int, int, int]
    profile: ScoringProfile

    @property
    def prediction_type(self) -> str:
        return str(self.scheduler.config.prediction_type)


class KlEncoder(nn.Module):
    """The encoder half of an AutoencoderKL: the posterior's mean, shifted and scaled as the UNet was trained on it."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv
        self.latent_channels = int(vae.config.latent_channels)
        self.shift, self.scale = float(vae.config.shift_factor or 0.0), float(vae.config.scaling_factor)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, S, S] in [-1, 1] → [N, C, h, w]."""
        moments = self.encoder(images)
        moments = moments if self.quant_conv is None else self.quant_conv(moments)
        return (moments[:, : self.latent_channels] - self.shift) * self.scale


def load_source(folder: Path) -> SourcePipeline:
    """The pipeline saved in `folder`. Raises PipelineError that says what is missing or unsupported."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise PipelineError(f"{folder} is not a diffusers pipeline: it has no model_index.json")
    kind = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    if kind not in LOADERS:
        raise PipelineError(f"{folder} holds a {kind}; the exporter reads {', '.join(sorted(LOADERS))}")
    source = LOADERS[kind](folder)
    _check(source)
    return source


def load_small(folder: Path) -> SourcePipeline:
    """A small class-conditional pipeline of this project: its table of prompts is learned."""
    try:
        profile = ScoringProfile.load(folder)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise PipelineError(f"{folder}: its scoring.json is missing or damaged: {error}") from error
    with warnings.catch_warnings(), _no_progress_bar():
        warnings.simplefilter("ignore")  # diffusers warns of its own future defaults
        pipeline = SmallPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    encoder, resolution = _encoder(pipeline.vae, pipeline.unet)
    with torch.no_grad():
        latent = encoder(torch.zeros(1, 3, resolution, resolution)).shape[1:]
    return SourcePipeline(
        digest=_digest(pipeline),
        encoder=encoder,
        unet=pipeline.unet.eval(),
        scheduler=pipeline.scheduler,
        table=pipeline.class_embedding.table.detach(),
        prompts=("", *pipeline.class_names),
        classes=tuple(pipeline.class_names),
        resolution=resolution,
        latent=(latent[0], latent[1], latent[2]),
        profile=profile,
    )


LOADERS: Mapping[str, Callable[[Path], SourcePipeline]] = {"SmallPipeline": load_small}


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _encoder(vae: nn.Module, unet: UNet2DConditionModel) -> tuple[nn.Module, int]:
    """The encoder and the resolution of its images."""
    if isinstance(vae, SpaceToDepth):
        return vae.eval(), int(vae.config.image_size)
    if isinstance(vae, AutoencoderKL):
        return KlEncoder(vae).eval(), int(unet.config.sample_size) * 2 ** (len(vae.config.block_out_channels) - 1)
    raise PipelineError(f"the encoder is a {type(vae).__name__}; SpaceToDepth and AutoencoderKL are supported")


def _check(source: SourcePipeline) -> None:
    step = 2**source.unet.num_upsamplers
    if source.prediction_type not in PREDICTION_TYPES:
        raise PipelineError(f"prediction_type {source.prediction_type!r} is none of {', '.join(PREDICTION_TYPES)}")
    if source.latent[1] % step or source.latent[2] % step:
        raise PipelineError(f"latents of {source.latent[1:]} cells do not divide by the UNet's downsampling of {step}")
    if source.latent[0] != source.unet.config.in_channels:
        raise PipelineError(
            f"latents have {source.latent[0]} channels, the UNet takes {source.unet.config.in_channels}"
        )
    block, blocks = source.profile.dift_block, len(source.unet.up_blocks)
    if block != "mid" and not (isinstance(block, int) and 0 <= block < blocks):
        raise PipelineError(f"dift_block is {block!r}; this UNet has 'mid' and the up-blocks 0 to {blocks - 1}")
    steps = int(source.scheduler.config.num_train_timesteps)
    if not 0 <= source.profile.dift_timestep < steps:
        raise PipelineError(f"dift_timestep {source.profile.dift_timestep} is outside the schedule of {steps} steps")


def _digest(pipeline: DiffusionPipeline) -> str:
    """16 hex digits of BLAKE2b over every component's config and weights, independent of the files' layout."""
    digest = hashlib.blake2b(digest_size=8)
    for name, component in sorted(pipeline.components.items()):
        config = {key: value for key, value in component.config.items() if not key.startswith("_")}
        digest.update(f"{name}:{type(component).__name__}:{json.dumps(config, sort_keys=True, default=str)}".encode())
        weights = component.state_dict() if isinstance(component, nn.Module) else {}
        for key, tensor in sorted(weights.items()):
            digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
