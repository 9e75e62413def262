"""What the exporter takes from a diffusers pipeline, whatever its kind.

Another kind of pipeline is one more loader here; nothing behind `SourcePipeline` changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from diffusers import DiffusionPipeline

from export_scripts.errors import PipelineError
from export_scripts.pipelines.dit import read_dit_pipeline
from export_scripts.pipelines.first_draws import read_first_draws
from export_scripts.pipelines.flux import read_flux_pipeline
from export_scripts.pipelines.folder import (
    DIT,
    FLUX,
    PIXART_ALPHA,
    PIXART_SIGMA,
    SANA,
    SD3,
    SMALL,
    PipelineFolder,
    load_folder,
    one_line,
    open_folder,
    variant_notes,
)
from export_scripts.pipelines.parts import (
    KlEncoder,
    SourcePipeline,
    chosen_profile,
    digest_of,
    digest_of_all,
    encoder_of,
    latent_shape,
    native_resolution,
    own_profile,
    training_scheduler,
)
from export_scripts.pipelines.pixart import read_pixart_pipeline
from export_scripts.pipelines.prompt_table import check_rows
from export_scripts.pipelines.sana import read_sana_pipeline
from export_scripts.pipelines.sd3 import read_sd3_pipeline
from export_scripts.pipelines.single_file import SUFFIXES
from export_scripts.pipelines.text import read_text_pipeline
from export_scripts.pipelines.unet import unet_denoiser
from export_scripts.settings import Wanted


def find_pipeline(name: str, variant: str | None = None) -> Path:
    """The folder or file of a pipeline that is named by its path or its hub id, fetched if need be. Raises PipelineError."""
    folder = Path(name)
    if folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")) or folder.suffix in SUFFIXES:
        return folder
    with one_line(f"{name} is no folder here, and the hub's pipeline of that name"):
        return Path(DiffusionPipeline.download(name, variant=variant))


def load_source(path: Path, wanted: Wanted | None = None) -> SourcePipeline:
    """The pipeline saved in `path`. Raises PipelineError that says what is missing or unsupported."""
    wanted = wanted or Wanted()
    folder = open_folder(path, wanted.files)
    source = READERS.get(folder.kind, read_text_pipeline)(folder, wanted)
    # Other text encoders are other prompts, and so other scores of the same denoiser.
    digest = digest_of_all(source.digest, source.text_digest) if source.text_digest else source.digest
    source = replace(source, digest=digest, notes=(*variant_notes(folder), *source.notes))
    check_source(source)
    dropped = source.denoiser.taps.massive.get(source.profile.dift_block, ())
    if dropped:
        note = f"features leave out {len(dropped)} channels of massive activations: {', '.join(map(str, dropped))}"
        source = replace(source, notes=(*source.notes, note))
    first = read_first_draws(path, source.latent, source.denoiser.schedule.steps)
    return source if first is None else replace(source, first_draws=first, digest=first.digest(source.digest))


def at_resolution(source: SourcePipeline, resolution: int) -> SourcePipeline:
    """The same weights for images of another size, without the pipeline's own draws.

    Raises PipelineError if the denoiser can't take its latents.
    """
    cell_px = source.resolution // source.latent[1]
    latent = (source.latent[0], resolution // cell_px, resolution // cell_px)
    other = replace(source, resolution=resolution, latent=latent, first_draws=None)
    check_source(other)
    return other


def _load_small(folder: PipelineFolder, wanted: Wanted) -> SourcePipeline:
    """A small class-conditional pipeline of this project: its table of prompts is learned."""
    if wanted.classes is not None or wanted.resolution is not None:
        raise PipelineError(f"{folder.path} is a {SMALL}: its classes and resolution are learned and can't be chosen")
    profile, pipeline = own_profile(folder.path), load_folder(folder)
    with one_line("the VAE"):
        encoder, cell_px = encoder_of(pipeline.vae)
    learned = getattr(pipeline.vae.config, "image_size", None)
    resolution = int(learned) if learned else native_resolution("UNet", pipeline.unet, cell_px)
    table, classes = pipeline.class_embedding.table.detach(), tuple(pipeline.class_names)
    check_rows(classes, classes, table, None)
    return SourcePipeline(
        digest=digest_of(pipeline.components),
        encoder=encoder,
        denoiser=unet_denoiser(pipeline.unet, training_scheduler(pipeline.scheduler)),
        table=table,
        prompts=("", *classes),
        classes=classes,
        resolution=resolution,
        latent=latent_shape(encoder, resolution, cell_px),
        profile=chosen_profile(profile, wanted),
        half_encoder=isinstance(encoder, KlEncoder) and not pipeline.vae.config.force_upcast,
    )


def check_source(source: SourcePipeline) -> None:
    """Raises PipelineError for settings that contradict each other."""
    profile, denoiser = source.profile, source.denoiser
    kind, latents = denoiser.kind, denoiser.latents
    if not 0.0 <= profile.t_min < profile.t_max <= 1.0:
        raise PipelineError(f"a band of timesteps needs 0 <= t-min < t-max <= 1, not {profile.t_min}, {profile.t_max}")
    if source.latent[1] % latents.multiple or source.latent[2] % latents.multiple:
        raise PipelineError(
            f"latents of {source.latent[1:]} cells do not divide by the {kind}'s downsampling of {latents.multiple}"
        )
    if latents.greatest is not None and max(source.latent[1:]) > latents.greatest:
        raise PipelineError(
            f"latents of {source.latent[1:]} cells are larger than the {latents.greatest} of the {kind}"
        )
    takes, gives = latents.channels, latents.gives
    if source.latent[0] != takes:
        raise PipelineError(
            f"latents have {source.latent[0]} channels, the {kind} takes {takes}: one that is given more than the noisy "
            "latent (a mask, a depth map, a smaller image) is not supported"
        )
    if gives != takes * (2 if denoiser.learned_sigma else 1):
        raise PipelineError(
            f"the {kind} takes {takes} channels and gives {gives}: "
            + (
                "with a learned sigma it gives twice as many, the prediction first"
                if denoiser.learned_sigma
                else "one that predicts a variance beside is not supported"
            )
        )
    takes_prompt = (denoiser.prompt.tokens or source.table.shape[1], denoiser.prompt.width, denoiser.prompt.pooled)
    prompt = (*source.table.shape[1:], 0 if source.pooled is None else source.pooled.shape[1])
    if denoiser.prompt.masked and prompt[1] == takes_prompt[1] - 1:
        raise PipelineError(
            f"the {kind} masks the padding of prompts, and the table of prompts has no mask: padding would be read as words"
        )
    if prompt != takes_prompt:
        raise PipelineError(
            f"prompts are {prompt} (tokens, their width, pooled width), the {kind} takes {takes_prompt}: they are not of the "
            "same pipeline"
        )
    if profile.dift_block not in denoiser.taps.widths:
        raise PipelineError(f"dift_block is {profile.dift_block!r}; this {kind} has {denoiser.taps.told}")
    steps = denoiser.schedule.steps
    if not 0 <= profile.dift_timestep < steps:
        raise PipelineError(f"dift_timestep {profile.dift_timestep} is outside the schedule of {steps} steps")


READERS: Mapping[str, Callable[[PipelineFolder, Wanted], SourcePipeline]] = {
    SMALL: _load_small,
    DIT: read_dit_pipeline,
    SD3: read_sd3_pipeline,
    PIXART_ALPHA: read_pixart_pipeline,
    PIXART_SIGMA: read_pixart_pipeline,
    FLUX: read_flux_pipeline,
    SANA: read_sana_pipeline,
}
"""Who reads a pipeline, by its class; any other that model_index.json may name has text encoders."""
