"""The four leaf models of a pipeline, with the geometry and identity that their configs carry.

Owns which graph serves which model of the spec, and its tolerance. Must not know files, ONNX or Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from client import contract
from client.contract import Geometry, Identity
from export_scripts.draw_bank import SEED, Band, DrawBank, make_draw_bank, spread_weights
from export_scripts.graphs import DiftExtractor, NoisePredictor, PromptEmbedding, VaeEncoder
from export_scripts.onnx_export import Leaf
from export_scripts.plain_loss import PlainLoss
from export_scripts.source_pipeline import SourcePipeline

PRECISION = "fp32"
# float32 against float32, so only the order of additions differs: measured 3e-6 at worst for the losses.
EXACT, CLOSE, LOSSES = 0.0, 1e-5, 1e-4


@dataclass(frozen=True)
class Leaves:
    """What one export of a pipeline serves. dift_noise: float32 [C, h, w], that of every feature."""

    geometry: Geometry
    identity: Identity
    bank: DrawBank
    dift_noise: NDArray[np.float32]
    by_name: dict[str, Leaf]


def make_leaves(source: SourcePipeline, draws: int) -> Leaves:
    """The leaves of `source` with a bank of `draws` draws. Raises ValueError for a number the bank can't have."""
    profile, schedule = source.profile, source.scheduler.alphas_cumprod
    band = Band(profile.t_min, profile.t_max, int(source.scheduler.config.num_train_timesteps))
    bank = make_draw_bank(draws, band, source.latent)
    dift_noise = np.random.default_rng([SEED, 1]).standard_normal(source.latent, dtype=np.float32)
    dift = DiftExtractor(
        source.unet, schedule, profile.dift_timestep, profile.dift_block, torch.from_numpy(dift_noise)
    ).eval()
    with torch.no_grad():
        feature = dift(torch.zeros(1, *source.latent), source.table[:1]).shape[1]
    geometry = Geometry(
        resolution=source.resolution,
        latent=source.latent,
        prompt=(source.table.shape[1], source.table.shape[2]),
        feature=feature,
        draws=draws,
        classes=len(source.classes),
    )
    specs = contract.models(geometry)
    encoder, embedding = VaeEncoder(source.encoder).eval(), PromptEmbedding(source.table).eval()
    unet = NoisePredictor(source.unet, bank, schedule, source.prediction_type).eval()
    leaves = (
        Leaf(specs[contract.VAE_ENCODER], encoder, CLOSE, encoder),
        Leaf(specs[contract.PROMPT_EMBEDDING], embedding, EXACT, embedding),
        Leaf(specs[contract.UNET], unet, LOSSES, PlainLoss(source.unet, bank, source.scheduler)),
        Leaf(specs[contract.DIFT], dift, CLOSE, dift),
    )
    return Leaves(geometry, _identity(source, bank), bank, dift_noise, {leaf.model.name: leaf for leaf in leaves})


def _identity(source: SourcePipeline, bank: DrawBank) -> Identity:
    profile = source.profile
    return Identity(
        pipeline=source.digest,
        classes=source.classes,
        prompts=source.prompts,
        draws=len(bank),
        timesteps=tuple(int(timestep) for timestep in bank.timesteps),
        timestep_weights=spread_weights(bank, profile.timestep_weights),
        resolution=source.resolution,
        precision=PRECISION,
        window_fraction=profile.window_fraction,
        rule=profile.rule,
        prior_weight=profile.brightness_weight,
        dift=f"{profile.dift_block}@{profile.dift_timestep}",
    )
