"""A pipeline's configurations held against the list of known fields, before anything is loaded.

Configurations come as mappings, with the name of their file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from export_scripts.errors import PipelineError
from export_scripts.pipelines.field_rules import Fields, Irrelevant, Only, Used
from export_scripts.pipelines.further_inputs import EXTRA_CHANNELS, OTHER_INPUTS
from export_scripts.pipelines.known_fields import (
    COMPONENTS,
    OTHER_NOISINGS,
    OTHER_PIPELINES,
    OWN_COMPONENTS,
    PIPELINE,
    PIPELINES,
    SCHEDULERS,
    fields_of,
    today,
)

INDEX = "model_index.json"
SCHEDULE_TOLERANCE = 1e-6  # absolute, of ᾱ: some samplers put 2⁻²⁴ in place of its last 0


def check_index(where: str, index: Mapping[str, Any]) -> None:
    """Raises PipelineError for a pipeline, component or setting of model_index.json that is not in the list."""
    kind = index.get("_class_name")
    if not isinstance(kind, str) or kind not in PIPELINES:
        whys = [why for part, why in OTHER_INPUTS.items() if part in str(kind)]
        whys += [why for start, why in OTHER_PIPELINES.items() if str(kind).startswith(start)]
        why = "".join(f": {why}" for why in whys[:1])
        raise PipelineError(
            f"{where} is of a {_shown(kind)}{why}; the exporter reads {', '.join(PIPELINES)}: if its UNet is one of text to "
            "image without further inputs, load it as one of these with diffusers and save it"
        )
    for slot in PIPELINES[kind]:
        named = component_class(index, slot)
        if not named:
            hint = " (SDXL's refiner is such a pipeline and not supported)" if slot == "text_encoder" else ""
            raise PipelineError(f"{where} names no {slot}, which a {kind} needs{hint}")
        taken = OWN_COMPONENTS.get(kind, {}).get(slot, COMPONENTS[slot])
        if taken is SCHEDULERS:
            check_scheduler(where, named)
        elif named not in taken:
            raise PipelineError(f"{where}: {slot} is a {named}; a {kind} takes: {', '.join(taken)}")
    others = {k: v for k, v in index.items() if k not in PIPELINES[kind] and v != [None, None]}
    check_fields(where, others, PIPELINE, {})


def component_class(index: Mapping[str, Any], slot: str) -> str:
    """The class that model_index.json names for a component; empty without one."""
    entry = index.get(slot)
    return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 and entry[1] else ""


def check_scheduler(where: str, name: str) -> None:
    """Raises PipelineError unless the class of that name noises as the exporter does."""
    if name in SCHEDULERS:
        return
    why = next((why for start, why in OTHER_NOISINGS.items() if name.startswith(start)), "it is not in the list")
    raise PipelineError(
        f"{where}: the scheduler is a {name}: {why}. Supported is noising by betas ({', '.join(SCHEDULERS[:4])} and others, "
        "docs/export.md): if the UNet was trained so, save the pipeline with such a scheduler"
    )


def check_config(where: str, kind: str, expected: str, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raises PipelineError for a field of a component's configuration that is not supported at its value.

    kind: the pipeline's class. expected: the component's, by today's name, that model_index.json names. defaults: those of
    the installed class's constructor.
    """
    named = str(config.get("_class_name", expected))
    if expected in SCHEDULERS:  # one sampler's class may read another's file: they share their fields
        check_scheduler(where, named)
    elif today(kind, named) != expected:
        raise PipelineError(f"{where} is of a {named}, {INDEX} names a {expected}: one of both is wrong")
    check_fields(where, config, fields_of(kind, expected), defaults)


def check_fields(where: str, config: Mapping[str, Any], fields: Fields, defaults: Mapping[str, Any]) -> None:
    """Raises PipelineError that names the first field which is unknown, or known at other values alone.

    An unknown field passes if it is null or has the installed class's own default: it then changes nothing.
    """
    for name, value in config.items():
        if name.startswith("_"):  # whence and by which version: never an argument of a class
            continue
        match fields.get(name):
            case Used() | Irrelevant():
                pass
            case Only(values, why):
                if not any(_same(value, known) for known in values):
                    raise PipelineError(
                        f"{where}: {name} is {_shown(value)}, which is not supported: {why} (supported: "
                        f"{', '.join(map(_shown, values))})"
                    )
            case None:
                if value is not None and not (name in defaults and _same(value, defaults[name])):
                    raise PipelineError(
                        f"{where}: the exporter does not know the field {name}, which is {_shown(value)}: scores may "
                        "depend on it. Remove it if you are sure that they don't"
                    )


def check_channels(where: str, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Raises PipelineError for a UNet that is given more than the noisy latent; both are configurations."""
    takes, gives = unet.get("in_channels", 4), vae.get("latent_channels")
    if gives is not None and takes != gives and takes in EXTRA_CHANNELS:
        raise PipelineError(f"{where}: in_channels is {takes}, for latents of {gives}: {EXTRA_CHANNELS[takes]}")


def check_schedule(scheduler: str, own: Tensor | None, training: Tensor, steps: int) -> None:
    """Raises PipelineError unless the saved sampler noises as the schedule made of its configuration does.

    own, training: ᾱ [steps] of both. They differ where a sampler ignores a field of its file that training followed.
    """
    if own is None or own.shape != training.shape or len(training) != steps:
        found = "no ᾱ" if own is None else f"{len(own)} values of ᾱ"
        raise PipelineError(
            f"the {scheduler} has {found}, the configuration's betas {len(training)}, for {steps} timesteps"
        )
    apart = (own - training).abs()
    if not bool(apart.max() <= SCHEDULE_TOLERANCE):
        worst = int(torch.argmax(apart))
        raise PipelineError(
            f"the {scheduler} and the betas of its configuration disagree: ᾱ of timestep {worst} is {float(own[worst]):.4g} "
            f"and {float(training[worst]):.4g}; save the pipeline with the scheduler that its UNet was trained with"
        )


def _same(value: Any, known: Any) -> bool:
    """Equality as JSON sees it: 0 is no false, and a tuple is a list."""
    value, known = (list(v) if isinstance(v, tuple) else v for v in (value, known))
    return bool(value == known) and isinstance(value, bool) == isinstance(known, bool)


def _shown(value: Any, most: int = 80) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= most else f"{text[:most]}…"
