"""The one typed spec of models and tensors that exporter, server and client share.

Owns names, datatypes, shapes and index ranges of the seven models, and the identity that a repository carries in its
configs. Shapes are per row: dim 0 is always the batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from client.errors import ContractError

SPEC_VERSION = 1

VAE_ENCODER = "vae_encoder"
PROMPT_EMBEDDING = "prompt_embedding"
UNET = "unet_noise_predictor"
DIFT = "dift_extractor"
NOISE_LOSS = "noise_loss"
PATCH_FEATURES = "patch_features"
PATCH_SCORER = "patch_scorer"

LEAVES = (VAE_ENCODER, PROMPT_EMBEDDING, UNET, DIFT)
ENSEMBLES = (NOISE_LOSS, PATCH_FEATURES, PATCH_SCORER)


DTYPES: Mapping[str, np.dtype[Any]] = {
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype("<i4"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
}
"""KServe's datatype → numpy's; little-endian, as raw contents are."""

INDEX_RANGE = "index_range."
"""Parameters of a model's config that begin so are "least,greatest" of the input that is named behind it."""


@dataclass(frozen=True)
class Tensor:
    """A named tensor: `datatype` is KServe's (UINT8, INT32, FP16, FP32), `shape` is that of one row."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One composing model of an ensemble; maps are (name in the model, name in the ensemble)."""

    model: str
    input_map: tuple[tuple[str, str], ...]
    output_map: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """A model of the repository; it is an ensemble if it has steps."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...] = ()
    index_ranges: tuple[tuple[str, int, int], ...] = ()
    """(input, least, greatest) of every input that addresses a table."""

    def __hash__(self) -> int:
        """Of the name: models are keys of caches, and hashing every tensor took 2 µs a time."""
        return hash(self.name)

    @property
    def one_step_at_a_time(self) -> bool:
        """Whether each step needs an output of the one before, so that no two of them can run at once."""
        return all(
            {ours for _, ours in before.output_map} & {ours for _, ours in after.input_map}
            for before, after in pairwise(self.steps)
        )


@dataclass(frozen=True)
class Geometry:
    """The sizes in which pipelines differ.

    resolution: S, images are [S, S, 3]. latent: (C, h, w). prompt: (L, D) of one condition, with the column of a mask where
    there is one. pooled: width of a second conditioning tensor (SDXL), 0 for none. feature: F. cond_datatype: FP32 or FP16.
    draws: size of the bank. classes: number of classes; the prompt table has one row more, row 0 being the null prompt.
    """

    resolution: int
    latent: tuple[int, int, int]
    prompt: tuple[int, int]
    feature: int
    draws: int
    classes: int
    pooled: int = 0
    cond_datatype: str = "FP32"


@dataclass(frozen=True)
class Identity:
    """What a repository's scores depend on; it travels in the configs' `parameters`.

    pipeline: hash of the source weights. classes: what tells the classes apart, their ids (such as n02012849) or, where there
    are none, their names; class_id is the position. prompts: n + 1 texts, row 0 the null prompt. timesteps: one per draw of
    the bank. timestep_weights: likewise, all 1 if unweighted. precision: fp32 or fp16. window_fraction: window size as a
    fraction of the resolution. rule: the pipeline's default scoring rule. prior_weight: weight of the rule's label-free
    prior. dift: block and timestep, such as "mid@161". centring: how chosen windows move, "none" or "contrast". class_names:
    names of the classes where they differ from `classes`, else none; two classes may have one name. draw_order: all draws of
    the bank in the order in which they are taken, none for the bank's own, 0, 1, 2, …; chosen by `selector calibrate`.
    auto_draws: how many of them do by its table, 0 if nobody asked. no_null: why prompt 0 is no reference of a loss, empty where
    it is one; classes are contrasted with each other then. A field that has its default value is not in the configs,
    so repositories from before there was such a field are what they were.
    """

    pipeline: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    draws: int
    timesteps: tuple[int, ...]
    timestep_weights: tuple[float, ...]
    resolution: int
    precision: str
    window_fraction: float
    rule: str
    prior_weight: float
    dift: str
    centring: str = "none"
    class_names: tuple[str, ...] = ()
    draw_order: tuple[int, ...] = ()
    auto_draws: int = 0
    no_null: str = ""

    def taken(self, draws: int) -> tuple[int, ...]:
        """The first `draws` draws in the order in which they are taken: what DRAW is in their rows."""
        return (self.draw_order or tuple(range(self.draws)))[:draws]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values by field name."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# The model whose config carries each field of the identity: a new list of classes rewrites prompt_embedding alone.
_CARRIER: dict[str, str] = {
    "pipeline": UNET,
    "classes": PROMPT_EMBEDDING,
    "prompts": PROMPT_EMBEDDING,
    "draws": UNET,
    "timesteps": UNET,
    "timestep_weights": UNET,
    "resolution": VAE_ENCODER,
    "precision": UNET,
    "window_fraction": UNET,
    "rule": UNET,
    "prior_weight": UNET,
    "dift": DIFT,
    "centring": UNET,
    "class_names": PROMPT_EMBEDDING,
    "draw_order": UNET,
    "auto_draws": UNET,
    "no_null": UNET,
}


def identity_parameters(identity: Identity) -> dict[str, dict[str, str]]:
    """The `parameters` of each leaf's config: model name → key → JSON text."""
    out: dict[str, dict[str, str]] = {leaf: {"spec_version": str(SPEC_VERSION)} for leaf in LEAVES}
    for field in fields(Identity):
        value = getattr(identity, field.name)
        if value != field.default:
            out[_CARRIER[field.name]][field.name] = json.dumps(_plain(value))
    return out


def identity_from_parameters(parameters: Mapping[str, Mapping[str, str]]) -> Identity:
    """Reads an identity back from the `parameters` of the leaves' configs.

    Raises ContractError that names the model and the key which is missing or of another spec version.
    """
    for leaf in LEAVES:
        version = parameters.get(leaf, {}).get("spec_version")
        if version != str(SPEC_VERSION):
            raise ContractError(
                f"model {leaf!r} carries spec version {version!r}, this client needs {SPEC_VERSION}: "
                "export the repository again with this version"
            )
    values: dict[str, Any] = {}
    for field in fields(Identity):
        carrier = _CARRIER[field.name]
        text = parameters[carrier].get(field.name)
        if text is None and field.default is not MISSING:
            continue
        if text is None:
            raise ContractError(f"the config of model {carrier!r} lacks the parameter {field.name!r}")
        value = json.loads(text)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    identity = Identity(**values)
    if len(identity.class_names) not in (0, len(identity.classes)):
        raise ContractError(
            f"the config of model {PROMPT_EMBEDDING!r} has {len(identity.classes)} classes and "
            f"{len(identity.class_names)} names of them: export the repository again"
        )
    if identity.draw_order and sorted(identity.draw_order) != list(range(identity.draws)):
        raise ContractError(
            f"the config of model {UNET!r} has an order that is not one of its {identity.draws} draws: calibrate the repository "
            "again"
        )
    return identity


def models(geometry: Geometry) -> dict[str, Model]:
    """The seven models of a repository by name, leaves first."""
    g = geometry
    image = Tensor("IMAGE", "UINT8", (g.resolution, g.resolution, 3))
    latent = Tensor("LATENT", "FP32", g.latent)
    prompt_id, reference_id, draw = (Tensor(n, "INT32", (1,)) for n in ("PROMPT_ID", "REFERENCE_ID", "DRAW"))
    cond, reference = _conditions(g, "COND"), _conditions(g, "REFERENCE")
    delta = Tensor("DELTA", "FP32", g.latent[1:])
    losses = (Tensor("LOSS_PROMPT", "FP32", (1,)), Tensor("LOSS_REFERENCE", "FP32", (1,)))
    feature = Tensor("FEATURE", "FP32", (g.feature,))
    prompt_range, reference_range = ("PROMPT_ID", 0, g.classes), ("REFERENCE_ID", 0, g.classes)
    draw_range = ("DRAW", 0, g.draws - 1)

    encode = _step(VAE_ENCODER, (image,), (latent,))
    both = _step(PROMPT_EMBEDDING, (prompt_id, reference_id), (*cond, *reference))
    # A feature needs the prompt alone; the reference is the prompt again, and its embedding goes nowhere.
    own = Step(
        PROMPT_EMBEDDING,
        (("PROMPT_ID", "PROMPT_ID"), ("REFERENCE_ID", "PROMPT_ID")),
        tuple((t.name, t.name) for t in cond),
    )
    loss = _step(UNET, (latent, *cond, *reference, draw), (delta, *losses))
    dift = _step(DIFT, (latent, *cond), (feature,))

    specs = (
        Model(VAE_ENCODER, (image,), (latent,)),
        Model(
            PROMPT_EMBEDDING,
            (prompt_id, reference_id),
            (*cond, *reference),
            index_ranges=(prompt_range, reference_range),
        ),
        Model(UNET, (latent, *cond, *reference, draw), (delta, *losses), index_ranges=(draw_range,)),
        Model(DIFT, (latent, *cond), (feature,)),
        Model(
            NOISE_LOSS,
            (latent, prompt_id, reference_id, draw),
            (delta, *losses),
            (both, loss),
            (prompt_range, reference_range, draw_range),
        ),
        Model(PATCH_FEATURES, (image, prompt_id), (feature,), (encode, own, dift), (prompt_range,)),
        Model(
            PATCH_SCORER,
            (image, prompt_id, reference_id, draw),
            (delta, *losses, feature),
            (encode, both, loss, dift),
            (prompt_range, reference_range, draw_range),
        ),
    )
    return {m.name: m for m in specs}


def _conditions(geometry: Geometry, prefix: str) -> tuple[Tensor, ...]:
    tokens = Tensor(prefix, geometry.cond_datatype, geometry.prompt)
    if not geometry.pooled:
        return (tokens,)
    return tokens, Tensor(f"{prefix}_POOLED", geometry.cond_datatype, (geometry.pooled,))


def _step(model: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Step:
    return Step(model, tuple((t.name, t.name) for t in inputs), tuple((t.name, t.name) for t in outputs))
