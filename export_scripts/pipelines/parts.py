"""The parts of any diffusers pipeline that the exporter uses, and how they are told apart.

Every kind of pipeline has a loader of its own that fills the record; nothing behind it knows the kind.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL, DDPMScheduler
from diffusers.utils import logging
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from export_scripts.errors import PipelineError
from export_scripts.pipelines.config_check import check_schedule
from export_scripts.pipelines.denoiser import Denoiser
from export_scripts.pipelines.first_draws import FirstDraws
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile, SpaceToDepth


@dataclass(frozen=True)
class SourcePipeline:
    """The parts of a pipeline in eager torch, float32.

    digest: 16 hex digits of all weights and configs. encoder: images [N, 3, S, S] in [-1, 1] → latents [N, C, h, w].
    denoiser: what predicts noise. resolution: S. latent: (C, h, w). table: [n + 1, L, D], row 0 the null prompt. prompts:
    n + 1 texts, in the table's order. classes: n ids. pooled: a second condition [n + 1, P] (SDXL), or None. text_digest:
    16 hex digits of the text encoders, empty for a learned table. half_encoder: whether the encoder's makers allow it in
    fp16. class_names: n names, or none where they are the ids. notes: lines for whoever exports. first_draws: that the
    pipeline brings for images of this size; they are part of the digest.
    """

    digest: str
    encoder: nn.Module
    denoiser: Denoiser
    table: Tensor
    prompts: tuple[str, ...]
    classes: tuple[str, ...]
    resolution: int
    latent: tuple[int, int, int]
    profile: ScoringProfile
    pooled: Tensor | None = None
    text_digest: str = ""
    half_encoder: bool = False
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    first_draws: FirstDraws | None = None


class KlEncoder(nn.Module):
    """The encoder half of an AutoencoderKL: the posterior's mean, shifted and scaled as the denoiser was trained on it."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv
        self.latent_channels = int(vae.config.latent_channels)
        self.shift, self.scale = float(vae.config.shift_factor or 0.0), float(vae.config.scaling_factor)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, S, S] in [-1, 1] → float32 [N, C, h, w], in the weights' precision up to the moments."""
        moments = self.encoder(images.to(self.encoder.conv_in.weight.dtype))
        moments = moments if self.quant_conv is None else self.quant_conv(moments)
        return (moments[:, : self.latent_channels].to(torch.float32) - self.shift) * self.scale


class DcEncoder(nn.Module):
    """The encoder half of an AutoencoderDC, which gives the latents themselves: scaled as the denoiser was trained on them."""

    def __init__(self, vae: AutoencoderDC) -> None:
        super().__init__()
        self.encoder, self.scale = vae.encoder, float(vae.config.scaling_factor)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, S, S] in [-1, 1] → float32 [N, C, h, w], in the weights' precision up to the latents."""
        weights = next(self.encoder.parameters())
        latents: Tensor = self.encoder(images.to(weights.dtype)).to(torch.float32)
        return latents * self.scale


def encoder_of(vae: nn.Module) -> tuple[nn.Module, int]:
    """The encoder and how many pixels a latent cell is wide. Raises PipelineError for another kind."""
    if isinstance(vae, SpaceToDepth):
        return vae.eval(), int(vae.config.patch_size)
    if isinstance(vae, AutoencoderKL):
        return KlEncoder(vae).eval(), 2 ** (len(vae.config.block_out_channels) - 1)
    if isinstance(vae, AutoencoderDC):
        return DcEncoder(vae).eval(), int(vae.spatial_compression_ratio)
    raise PipelineError(
        f"the encoder is a {type(vae).__name__}; SpaceToDepth, AutoencoderKL and AutoencoderDC are supported"
    )


def shifted_encoder(kind: str, config: Path, vae: Any) -> tuple[nn.Module, int]:
    """As encoder_of, for a kind of pipeline whose latents are shifted. config: the VAE's file.

    Raises PipelineError for a VAE that leaves the shift out.
    """
    if vae.config.shift_factor is None:
        raise PipelineError(
            f"{config} has no shift_factor: the latents of a {kind} are shifted, and without it every score would be one of "
            "latents that it never saw"
        )
    return encoder_of(vae)


def native_resolution(kind: str, network: nn.Module, cell_px: int) -> int:
    """The side of images that a network was made for. Raises PipelineError if its configuration does not say."""
    size = network.config.sample_size
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1 or not isinstance(side := sides.pop(), int):
        raise PipelineError(
            f"the {kind}'s sample_size is {size}, not one number: name the side of images with --resolution"
        )
    return side * cell_px


def training_scheduler(scheduler: Any) -> DDPMScheduler:
    """The schedule that the denoiser was trained on, whatever sampler the pipeline was saved with. Raises PipelineError."""
    with quiet_loading():
        training = DDPMScheduler.from_config(scheduler.config, clip_sample=False, thresholding=False)
    steps = int(training.config.num_train_timesteps)
    check_schedule(type(scheduler).__name__, scheduler.alphas_cumprod, training.alphas_cumprod, steps)
    return training


def latent_shape(encoder: nn.Module, resolution: int, cell_px: int) -> tuple[int, int, int]:
    """(C, h, w) of images of `resolution`; found on the smallest image that has a cell for every downsampling."""
    if resolution % cell_px:
        raise PipelineError(f"a resolution of {resolution} px does not divide by the {cell_px} px of a latent cell")
    with torch.no_grad():
        channels = encoder(torch.zeros(1, 3, 2 * cell_px, 2 * cell_px)).shape[1]
    return int(channels), resolution // cell_px, resolution // cell_px


def own_profile(folder: Path) -> ScoringProfile:
    """What a trained pipeline says of itself. Raises PipelineError if it says nothing."""
    try:
        return ScoringProfile.load(folder)
    except (AttributeError, OSError, TypeError, ValueError) as error:
        raise PipelineError(f"{folder}: its scoring.json is missing or damaged: {error}") from error


def chosen_profile(profile: ScoringProfile, wanted: Wanted) -> ScoringProfile:
    """The pipeline's own values, but for those that are wanted otherwise."""
    chosen = {name: getattr(wanted, name) for name in ("t_min", "t_max", "dift_timestep", "dift_block")}
    return replace(profile, **{name: value for name, value in chosen.items() if value is not None})


def digest_of(components: Mapping[str, Any]) -> str:
    """16 hex digits of BLAKE2b over the components' configs and weights, independent of the files' layout."""
    digest = hashlib.blake2b(digest_size=8)
    for name, component in sorted(components.items()):
        digest.update(f"{name}:{type(component).__name__}:{_config_text(component)}".encode())
        weights = component.state_dict() if isinstance(component, nn.Module) else {}
        for key, tensor in sorted(weights.items()):
            digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().numpy())
    return digest.hexdigest()


def digest_of_all(*digests: str) -> str:
    """16 hex digits of several digests, in their order."""
    return hashlib.blake2b("/".join(digests).encode(), digest_size=8).hexdigest()


def _config_text(component: Any) -> str:
    if hasattr(component, "get_vocab"):  # a tokenizer
        return json.dumps(component.get_vocab(), sort_keys=True)
    config = getattr(component, "config", {})
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)  # transformers, diffusers
    values.pop("transformers_version", None)
    return json.dumps({k: v for k, v in values.items() if not k.startswith("_")}, sort_keys=True, default=str)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Whatever a library raises over `what` becomes one PipelineError of one line."""
    try:
        with quiet_loading():
            yield
    except PipelineError:
        raise
    except Exception as error:  # diffusers, transformers, torch and the hub's client have errors of every class
        raise PipelineError(f"{what} can't be read: {_in_one_line(error)}") from error


def _in_one_line(error: Exception, most: int = 300) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"


@contextmanager
def quiet_loading() -> Iterator[None]:
    """diffusers and transformers warn of their own future defaults and draw progress bars; neither is about the model."""
    enabled, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    bars, transformers_level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    logging.set_verbosity(CRITICAL)  # errors are raised as well, and said once
    transformers_logging.set_verbosity(CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.set_verbosity(level)
            transformers_logging.set_verbosity(transformers_level)
            if enabled:
                logging.enable_progress_bar()
            if bars:
                transformers_logging.enable_progress_bar()
