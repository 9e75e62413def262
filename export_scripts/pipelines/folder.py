"""A diffusers folder from disk: its files are looked at, its configurations checked, its components loaded whole.

Errors of diffusers and transformers end as one PipelineError of one line. A component is loaded with an account of its
weights, since diffusers makes up random ones for those that a file lacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from torch import nn

from export_scripts import small_pipeline
from export_scripts.errors import PipelineError
from export_scripts.pipelines.component_files import (
    SAFETENSORS,
    Stems,
    check_tokenizer,
    check_whole,
    entries,
    find_weights,
    read_json,
    variants_in,
)
from export_scripts.pipelines.config_check import INDEX, check_channels, check_config, check_index, component_class
from export_scripts.pipelines.known_fields import ALL_SCHEDULERS, PIPELINES, today
from export_scripts.pipelines.known_text import LEFTOVERS
from export_scripts.pipelines.lora import fuse_loras
from export_scripts.pipelines.parts import one_line
from export_scripts.pipelines.single_file import (
    DENOISERS,
    SUFFIXES,
    check_single_file,
    check_text_encoder,
    module_of,
    read_single_file,
)
from export_scripts.settings import Files

DIT = "DiTPipeline"
SMALL, SD3, TOKENIZER = "SmallPipeline", "StableDiffusion3Pipeline", "Tokenizer"
PIXART_ALPHA, PIXART_SIGMA, FLUX, SANA = "PixArtAlphaPipeline", "PixArtSigmaPipeline", "FluxPipeline", "SanaPipeline"


@dataclass(frozen=True)
class PipelineFolder:
    """A folder whose model_index.json is one that the exporter reads; index: its content. files: which ones are read.
    single: a file of weights that are not in the folder."""

    path: Path
    index: Mapping[str, Any]
    files: Files = field(default_factory=Files)
    single: Path | None = None

    @property
    def kind(self) -> str:
        """The class of the pipeline."""
        return str(self.index["_class_name"])


def open_folder(path: Path, files: Files | None = None) -> PipelineFolder:
    """The pipeline saved in `path`, not yet loaded. Raises PipelineError."""
    files, single = files or Files(), None
    if path.is_file() or path.suffix in SUFFIXES:
        path, single = _beside(path, files), path
    elif files.config is not None:
        raise PipelineError(
            f"{path} is a folder with configurations of its own: --config goes with a single file of weights"
        )
    if not (path / INDEX).is_file():
        raise PipelineError(f"{path} is not a diffusers pipeline: it has no {INDEX} ({entries(path)})")
    index = read_json(path / INDEX)
    check_index(str(path / INDEX), index)
    folder = PipelineFolder(path, index, files, single)
    _check_variant(folder)
    return folder


def _beside(file: Path, files: Files) -> Path:
    """The folder of configurations that goes with a file of weights. Raises PipelineError."""
    check_whole(file)
    if files.config is None:
        raise PipelineError(
            f"{file} is a single file of weights, which says neither its schedule nor its tokenizer: name a folder with the "
            f"{INDEX}, configurations and tokenizers of such a pipeline with --config (its own weights are not needed)"
        )
    return files.config


def variant_notes(folder: PipelineFolder) -> tuple[str, ...]:
    """A line for the components that have no weights of the wanted variant, and whose others are read."""
    wanted = folder.files.variant
    if folder.single is not None:
        return ()
    without = [slot for slot, found in _variants(folder).items() if wanted not in found]
    if wanted is None or not without:
        return ()
    return (f"no weights of the variant {wanted}: those without a variant are read for {', '.join(without)}",)


def load_folder(folder: PipelineFolder, leave_out: tuple[str, ...] = ()) -> DiffusionPipeline:
    """The pipeline in eager torch, float32, its LoRAs added, without the components `leave_out`. Raises PipelineError.

    All configurations are checked before the first weights are read. What judges finished images is never loaded.
    """
    pipeline = _load(folder, leave_out)
    fuse_loras(pipeline, folder.files)
    return pipeline


def _load(folder: PipelineFolder, leave_out: tuple[str, ...]) -> DiffusionPipeline:
    slots = [slot for slot in PIPELINES[folder.kind] if slot not in leave_out]
    needed = {slot: today(folder.kind, component_class(folder.index, slot)) for slot in slots}
    for slot, name in needed.items():
        _check_component(folder.kind, folder.path / slot, name)
    if "unet" in needed and needed["vae"] == "AutoencoderKL":
        unet, vae = (folder.path / slot / "config.json" for slot in ("unet", "vae"))
        check_channels(str(unet), read_json(unet), read_json(vae))
    absent = [slot for slot, entry in folder.index.items() if isinstance(entry, list) and slot not in needed]
    if folder.single is not None:
        return _load_single(folder, folder.single, needed, dict.fromkeys(absent))
    modules = {
        slot: _module(folder.path / slot, name, folder.files) for slot, name in needed.items() if _is_module(name)
    }
    loader = small_pipeline.SmallPipeline if folder.kind == SMALL else DiffusionPipeline
    with one_line(str(folder.path)):
        # What is handed over is not read again; diffusers reads tokenizers and the scheduler.
        return loader.from_pretrained(folder.path, **dict.fromkeys(absent), **modules, local_files_only=True)


def _load_single(
    folder: PipelineFolder, path: Path, needed: Mapping[str, str], absent: Mapping[str, None]
) -> DiffusionPipeline:
    """As load_folder; what is not in the file of weights is read from the folder. needed: classes by slot."""
    with one_line(str(path)):
        file = read_single_file(path, folder.files.allow_pickle)
        check_single_file(file, folder.path, needed)
    modules, texts = {}, []
    parts = sorted((slot for slot, name in needed.items() if _is_module(name)), key=lambda slot: slot not in DENOISERS)
    for slot, name in ((slot, needed[slot]) for slot in parts):
        if not file.holds(slot):
            modules[slot] = _module(folder.path / slot, name, folder.files)
        elif issubclass(_class(name), transformers.PreTrainedModel):
            texts.append(slot)
        else:
            with one_line(f"the {slot} in {path}"):
                modules[slot] = module_of(file, _class(name), folder.path, slot)
    if not texts:
        with one_line(str(folder.path)):
            return DiffusionPipeline.from_pretrained(folder.path, **absent, **modules, local_files_only=True)
    with one_line(str(path)):
        pipeline: DiffusionPipeline = getattr(diffusers, folder.kind).from_single_file(
            str(path), config=str(folder.path), **absent, **modules, local_files_only=True
        )
    for slot in texts:
        check_text_encoder(file, slot, pipeline.components[slot])
    return pipeline


def _check_component(kind: str, place: Path, name: str) -> None:
    if not place.is_dir():
        raise PipelineError(f"{place} is missing, model_index.json names a {name} there: {entries(place.parent)}")
    if TOKENIZER in name:
        check_tokenizer(place)
        return
    config = place / ("scheduler_config.json" if name in ALL_SCHEDULERS else "config.json")
    check_config(str(config), kind, name, read_json(config), _defaults(name))


def _class(name: str) -> type:
    """The class of that name; known_fields.py has none that is not here."""
    found: type = next(getattr(m, name) for m in (diffusers, transformers, small_pipeline) if hasattr(m, name))
    return found


def _is_module(name: str) -> bool:
    return TOKENIZER not in name and name not in ALL_SCHEDULERS


def _defaults(name: str) -> dict[str, Any]:
    """What the installed class takes where its file is silent; transformers' classes take a config object."""
    found = _class(name)
    config = getattr(found, "config_class", None)
    return {k: p.default for k, p in inspect.signature((config or found).__init__).parameters.items()}


def _stems(name: str) -> Stems:
    text = issubclass(_class(name), transformers.PreTrainedModel)
    return ("model", "pytorch_model") if text else ("diffusion_pytorch_model", "diffusion_pytorch_model")


def _variants(folder: PipelineFolder) -> dict[str, list[str]]:
    """The variants of each component that has weights."""
    named = {slot: component_class(folder.index, slot) for slot in PIPELINES[folder.kind]}
    return {slot: variants_in(folder.path / slot, _stems(name)) for slot, name in named.items() if _is_module(name)}


def _check_variant(folder: PipelineFolder) -> None:
    """Raises PipelineError for a variant that no component has."""
    wanted, found = folder.files.variant, {name for names in _variants(folder).values() for name in names}
    if wanted is not None and wanted not in found:
        there = f"its variants are {', '.join(sorted(found))}" if found else "its weights have no variants"
        raise PipelineError(f"{folder.path} has no weights of the variant {wanted}: {there}")


def _module(place: Path, name: str, files: Files) -> nn.Module:
    """The component with all its weights. Raises PipelineError if some are missing, too many or of another shape."""
    found, own = _class(name), not issubclass(_class(name), transformers.PreTrainedModel)
    weights = find_weights(place, _stems(name), files.variant, files.allow_pickle)
    more = {"low_cpu_mem_usage": False} if own else {"dtype": torch.float32}
    with one_line(str(place)):
        module, account = found.from_pretrained(
            place,
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=weights.kind == SAFETENSORS,
            variant=weights.variant,
            **more,
        )
        module = module.to(torch.float32).eval()
    missing, left = sorted(account["missing_keys"]), sorted(set(account["unexpected_keys"]) - set(LEFTOVERS))
    for names, what in ((missing, "lacks"), (left, "has more weights than")):
        if names:
            more_names = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise PipelineError(
                f"the file of weights in {place} {what} the {name} of its config.json: {', '.join(names[:3])}{more_names}"
                ": weights and configuration are not of the same model"
            )
    return module
