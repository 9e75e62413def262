"""What the exporter takes from a diffusers pipeline, whatever its kind.

Owns the choice of the loader and the checks that hold for all kinds. Must not know ONNX or Triton. Another kind of
pipeline is one more loader; nothing behind `SourcePipeline` changes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from diffusers import DiffusionPipeline

from export_scripts.errors import PipelineError
from export_scripts.graphs import PREDICTION_TYPES
from export_scripts.pipeline_parts import (
    KlEncoder,
    SourcePipeline,
    digest_of,
    encoder_of,
    latent_shape,
    quiet_loading,
)
from export_scripts.settings import Wanted
from export_scripts.small_pipeline import ScoringProfile, SmallPipeline
from export_scripts.text_pipeline import read_text_pipeline

__all__ = ["KlEncoder", "SourcePipeline", "at_resolution", "find_pipeline", "load_source"]

SMALL = "SmallPipeline"
INDEX = "model_index.json"


def find_pipeline(name: str) -> Path:
    """The folder of a pipeline that is named by its folder or its hub id, fetched if need be. Raises PipelineError."""
    folder = Path(name)
    if folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        return folder
    try:
        with quiet_loading():
            return Path(DiffusionPipeline.download(name))
    except Exception as error:  # the hub's client, requests and the file system each have errors of their own
        raise PipelineError(f"{name} is no folder here, and the hub does not give it: {error}") from error


def load_source(folder: Path, wanted: Wanted | None = None) -> SourcePipeline:
    """The pipeline saved in `folder`. Raises PipelineError that says what is missing or unsupported."""
    wanted = wanted or Wanted()
    index = folder / INDEX
    if not index.is_file():
        raise PipelineError(f"{folder} is not a diffusers pipeline: it has no {INDEX}")
    parts = json.loads(index.read_text(encoding="utf-8"))
    if parts.get("_class_name") == SMALL:
        source = _load_small(folder, wanted)
    elif _named(parts, "unet") == "UNet2DConditionModel" and _named(parts, "text_encoder"):
        with quiet_loading():
            pipeline = DiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        source = read_text_pipeline(pipeline, wanted)
    else:
        raise PipelineError(
            f"{folder} holds a {parts.get('_class_name')} with the denoiser {_named(parts, 'unet') or 'none'}; the "
            f"exporter reads {SMALL} and pipelines of a UNet2DConditionModel with text encoders"
        )
    check_source(source)
    return source


def at_resolution(source: SourcePipeline, resolution: int) -> SourcePipeline:
    """The same weights for images of another size. Raises PipelineError if the UNet can't take its latents."""
    cell_px = source.resolution // source.latent[1]
    latent = (source.latent[0], resolution // cell_px, resolution // cell_px)
    other = replace(source, resolution=resolution, latent=latent)
    check_source(other)
    return other


def _named(parts: dict[str, object], component: str) -> str:
    entry = parts.get(component)
    return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 and entry[1] else ""


def _load_small(folder: Path, wanted: Wanted) -> SourcePipeline:
    """A small class-conditional pipeline of this project: its table of prompts is learned."""
    if wanted.classes is not None or wanted.resolution is not None:
        raise PipelineError(f"{folder} is a {SMALL}: its classes and resolution are learned and can't be chosen")
    try:
        profile = ScoringProfile.load(folder)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise PipelineError(f"{folder}: its scoring.json is missing or damaged: {error}") from error
    with quiet_loading():
        pipeline = SmallPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    encoder, cell_px = encoder_of(pipeline.vae)
    learned = getattr(pipeline.vae.config, "image_size", None)
    resolution = int(learned or int(pipeline.unet.config.sample_size) * cell_px)
    return SourcePipeline(
        digest=digest_of(pipeline.components),
        encoder=encoder,
        unet=pipeline.unet.eval(),
        scheduler=pipeline.scheduler,
        table=pipeline.class_embedding.table.detach(),
        prompts=("", *pipeline.class_names),
        classes=tuple(pipeline.class_names),
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=_chosen(profile, wanted),
        half_encoder=isinstance(encoder, KlEncoder) and not pipeline.vae.config.force_upcast,
    )


def _chosen(profile: ScoringProfile, wanted: Wanted) -> ScoringProfile:
    chosen = {name: getattr(wanted, name) for name in ("t_min", "t_max", "dift_timestep", "dift_block")}
    return replace(profile, **{name: value for name, value in chosen.items() if value is not None})


def check_source(source: SourcePipeline) -> None:
    """Raises PipelineError for settings that contradict each other."""
    profile, step = source.profile, 2**source.unet.num_upsamplers
    if not 0.0 <= profile.t_min < profile.t_max <= 1.0:
        raise PipelineError(f"a band of timesteps needs 0 <= t-min < t-max <= 1, not {profile.t_min}, {profile.t_max}")
    if source.prediction_type not in PREDICTION_TYPES:
        raise PipelineError(f"prediction_type {source.prediction_type!r} is none of {', '.join(PREDICTION_TYPES)}")
    if source.latent[1] % step or source.latent[2] % step:
        raise PipelineError(f"latents of {source.latent[1:]} cells do not divide by the UNet's downsampling of {step}")
    if source.latent[0] != source.unet.config.in_channels:
        raise PipelineError(
            f"latents have {source.latent[0]} channels, the UNet takes {source.unet.config.in_channels}"
        )
    block, blocks = profile.dift_block, len(source.unet.up_blocks)
    if block != "mid" and not (isinstance(block, int) and 0 <= block < blocks):
        raise PipelineError(f"dift_block is {block!r}; this UNet has 'mid' and the up-blocks 0 to {blocks - 1}")
    steps = int(source.scheduler.config.num_train_timesteps)
    if not 0 <= profile.dift_timestep < steps:
        raise PipelineError(f"dift_timestep {profile.dift_timestep} is outside the schedule of {steps} steps")
