"""The four leaf models of a pipeline: graph, reference, precision and tolerance, with geometry and identity."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client import contract
from client.contract import Geometry, Identity
from export_scripts.errors import PipelineError
from export_scripts.graphs import networks as torch_graphs
from export_scripts.graphs.draw_bank import SEED, Band, DrawBank, make_draw_bank, spread_weights
from export_scripts.graphs.half import half_copy
from export_scripts.graphs.onnx_export import Leaf
from export_scripts.graphs.plain_loss import PlainLoss
from export_scripts.pipelines.denoiser import WHOLE, Denoiser
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.settings import FP16, FP32

# float32 against float32, so only the order of additions differs: measured 3e-6 at worst for the losses.
EXACT, CLOSE, LOSSES = 0.0, 1e-5, 1e-4
CLOSE_PX = 256
# float16 against float32.
HALF_CLOSE, HALF_LOSSES = 1e-2, 1e-2


@dataclass(frozen=True)
class Leaves:
    """What one export of a pipeline serves. dift_noise: float32 [C, h, w], that of every feature."""

    geometry: Geometry
    identity: Identity
    bank: DrawBank
    dift_noise: NDArray[np.float32]
    by_name: dict[str, Leaf]


@dataclass(frozen=True)
class Networks:
    """What the graphs run: those of the source, or their copies in float16."""

    encoder: nn.Module
    denoiser: Denoiser
    precision: str


def make_networks(source: SourcePipeline, precision: str) -> Networks:
    """The encoder is in float16 only if its makers allow it; it runs once per image, float32 costs next to nothing."""
    denoiser = source.denoiser
    if precision == FP32:
        return Networks(source.encoder, denoiser, precision)
    if denoiser.half is None:
        raise PipelineError(
            f"a {denoiser.kind} has no recipe for {precision} yet, which would say what of it must stay in float32: export "
            f"it with --precision {FP32}"
        )
    encoder = half_copy(source.encoder) if source.half_encoder else source.encoder
    return Networks(encoder, replace(denoiser, network=half_copy(denoiser.network, denoiser.half)), precision)


def make_leaves(source: SourcePipeline, draws: int, networks: Networks | None = None) -> Leaves:
    """The leaves of `source` with a bank of `draws` draws; networks: default those of the source, in float32.

    Raises ValueError for a number of draws that the bank can't have.
    """
    profile, networks = source.profile, networks or make_networks(source, FP32)
    half = networks.precision == FP16
    band = Band(profile.t_min, profile.t_max, source.denoiser.schedule.steps)
    bank = make_draw_bank(draws, band, source.latent, first=source.first_draws)
    noise = dift_noise(source.latent)
    geometry = Geometry(
        resolution=source.resolution,
        latent=source.latent,
        prompt=(source.table.shape[1], source.table.shape[2]),
        feature=source.denoiser.taps.widths[profile.dift_block],
        draws=draws,
        classes=len(source.classes),
        pooled=0 if source.pooled is None else int(source.pooled.shape[1]),
        cond_datatype="FP16" if half else "FP32",
    )
    specs = contract.models(geometry)
    leaves = (
        _encoder_leaf(specs[contract.VAE_ENCODER], source, networks.encoder),
        prompt_leaf(specs[contract.PROMPT_EMBEDDING], source.table, source.pooled, networks.precision),
        _loss_leaf(specs[contract.UNET], source, networks.denoiser, bank, half),
        _dift_leaf(specs[contract.DIFT], source, networks.denoiser, torch.from_numpy(noise), half),
    )
    identity = _identity(source, bank, networks.precision)
    return Leaves(geometry, identity, bank, noise, {leaf.model.name: leaf for leaf in leaves})


def dift_noise(latent: tuple[int, int, int]) -> NDArray[np.float32]:
    """The noise of every feature, float32 [C, h, w]."""
    return np.random.default_rng([SEED, 1]).standard_normal(latent, dtype=np.float32)


def prompt_leaf(model: contract.Model, table: Tensor, pooled: Tensor | None, precision: str) -> Leaf:
    """The leaf of a prompt table, rounded to the denoiser's precision."""
    dtype = torch.float16 if precision == FP16 else torch.float32
    embedding = torch_graphs.PromptEmbedding(table.to(dtype), None if pooled is None else pooled.to(dtype)).eval()
    return Leaf(model, embedding, EXACT, embedding, precision)


def encoder_tolerance(resolution: int) -> float:
    """CLOSE up to CLOSE_PX, above it by the number of pixels: an encoder's norms add up all of them (decision 013)."""
    return CLOSE * max(1.0, (resolution / CLOSE_PX) ** 2)


def _encoder_leaf(model: contract.Model, source: SourcePipeline, encoder: nn.Module) -> Leaf:
    reference = torch_graphs.VaeEncoder(source.encoder).eval()
    if encoder is source.encoder:
        return Leaf(model, reference, encoder_tolerance(source.resolution), _in_float64(reference))
    return Leaf(model, torch_graphs.VaeEncoder(encoder).eval(), HALF_CLOSE, reference, FP16, full=source.encoder)


def _loss_leaf(model: contract.Model, source: SourcePipeline, served: Denoiser, bank: DrawBank, half: bool) -> Leaf:
    kind = torch_graphs.NoisePredictor if source.pooled is None else torch_graphs.PooledNoisePredictor
    module, reference = kind(served, bank).eval(), PlainLoss(source.denoiser, bank)
    if not half:
        return Leaf(model, module, LOSSES, reference)
    # DELTA is a difference of losses that may be next to equal: float16 rounds the losses, so they are its scale.
    full, islands = source.denoiser.network, source.denoiser.half or WHOLE
    return Leaf(model, module, HALF_LOSSES, reference, FP16, {"DELTA": "LOSS_PROMPT"}, full, islands)


def _dift_leaf(model: contract.Model, source: SourcePipeline, served: Denoiser, noise: Tensor, half: bool) -> Leaf:
    kind = torch_graphs.DiftExtractor if source.pooled is None else torch_graphs.PooledDiftExtractor
    profile = source.profile

    def extractor(denoiser: Denoiser) -> nn.Module:
        return kind(denoiser, profile.dift_timestep, profile.dift_block, noise).eval()

    if not half:
        module = extractor(served)
        return Leaf(model, module, CLOSE, module)
    full, islands = source.denoiser.network, source.denoiser.half or WHOLE
    reference = _in_float32(extractor(source.denoiser))
    return Leaf(model, extractor(served), HALF_CLOSE, reference, FP16, full=full, islands=islands)


def _in_float64(module: nn.Module) -> Callable[..., Tensor]:
    """The module with float64 weights: its own float32 run at 512 px is 4e-6 to 4e-5 off, by the number of threads."""

    def run(*inputs: Tensor) -> Tensor:
        result: Tensor = copy.deepcopy(module).double()(*inputs)
        return result

    return run


def _in_float32(module: nn.Module) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    return lambda *inputs: module(*(i.to(torch.float32) if i.is_floating_point() else i for i in inputs))


def _identity(source: SourcePipeline, bank: DrawBank, precision: str) -> Identity:
    profile, order = source.profile, _order(source, len(bank))
    return Identity(
        pipeline=source.digest,
        classes=source.classes,
        prompts=source.prompts,
        draws=len(bank),
        timesteps=tuple(int(timestep) for timestep in bank.timesteps),
        timestep_weights=spread_weights(bank, profile.timestep_weights),
        resolution=source.resolution,
        precision=precision,
        window_fraction=profile.window_fraction,
        rule=profile.rule,
        prior_weight=profile.brightness_weight,
        dift=f"{profile.dift_block}@{profile.dift_timestep}",
        centring=profile.centring,
        class_names=source.class_names,
        draw_order=order,
        auto_draws=profile.auto_draws if order == profile.draw_order else 0,
        no_null=source.denoiser.no_null,
    )


def _order(source: SourcePipeline, draws: int) -> tuple[int, ...]:
    """The pipeline's own order, if it is one of so many draws. Without one, draws that it brings are said to be no pairs."""
    chosen = source.profile.draw_order
    if chosen is not None and len(chosen) == draws:
        return chosen
    return tuple(range(draws)) if source.first_draws is not None else ()
