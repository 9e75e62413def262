"""The draw bank: K fixed (timestep, noise) pairs, a constant of the UNet graph.

Draws 2k and 2k + 1 share a timestep and have the noises n and -n. The band of the schedule is cut into K / 2 strata of
equal width, one pair each, at the stratum's middle. Pair k takes stratum bit_reverse(k) XOR 0101…b, so that the first
2^m pairs fall one into each of 2^m equal slices of the band (van der Corput, digitally shifted). The shift keeps such a
prefix within a quarter of a slice of the slices' middles; without it, a prefix sits at their lower edges, and few draws
would see systematically less noise than the band has.

A pipeline may bring draws of its own (`FirstDraws`, draws.npz beside its weights), whose noises were optimised
(export_scripts/training/noises.py). They come first, and the bank's others follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export_scripts.pipelines.first_draws import FirstDraws

SEED = 20412  # part of the definition: another seed gives other scores


@dataclass(frozen=True)
class Band:
    """The part of the schedule that draws cover: fractions [low, high) of its `steps` training timesteps."""

    low: float
    high: float
    steps: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.low < self.high <= 1.0:
            raise ValueError(f"a band of timesteps needs 0 <= low < high <= 1, not {self.low} and {self.high}")


@dataclass(frozen=True)
class DrawBank:
    """timesteps: int64 [K]. noises: float32 [K, C, h, w]. strata: int64 [K], a draw's stratum, 0 is the least noisy."""

    timesteps: NDArray[np.int64]
    noises: NDArray[np.float32]
    strata: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.timesteps)


def make_draw_bank(
    draws: int, band: Band, latent: tuple[int, int, int], *, seed: int = SEED, first: FirstDraws | None = None
) -> DrawBank:
    """A bank of `draws` draws for latents of shape (C, h, w); `first` takes the first places, as far as there are.

    Raises ValueError unless draws is a power of two ≥ 2.
    """
    if draws < 2 or draws & (draws - 1):
        raise ValueError(f"the number of draws must be a power of two of at least 2, not {draws}")
    strata = _stratum_order(draws // 2)
    fractions = band.low + (band.high - band.low) * (strata + 0.5) / len(strata)
    timesteps = np.floor(fractions * band.steps).astype(np.int64)
    halves = np.random.default_rng(seed).standard_normal((len(strata), *latent), dtype=np.float32)
    noises = np.stack([halves, -halves], axis=1).reshape(draws, *latent)
    timesteps, strata = np.repeat(timesteps, 2), np.repeat(strata, 2)
    if first is None:
        return DrawBank(timesteps, noises, strata)
    share = (first.timesteps / band.steps - band.low) / (band.high - band.low)
    own = np.clip(np.floor(share * (draws // 2)), 0, draws // 2 - 1).astype(np.int64)
    kept = slice(0, max(0, draws - len(own)))
    return DrawBank(
        np.concatenate((first.timesteps, timesteps[kept]))[:draws],
        np.concatenate((first.noises, noises[kept]))[:draws],
        np.concatenate((own, strata[kept]))[:draws],
    )


def spread_weights(bank: DrawBank, weights: tuple[float, ...] | None) -> tuple[float, ...]:
    """One weight per draw from one per equal slice of the band, low to high; all 1 where `weights` is None."""
    if weights is None:
        return (1.0,) * len(bank)
    fractions = (bank.strata + 0.5) / (len(bank) // 2)
    return tuple(float(weights[int(slice_)]) for slice_ in fractions * len(weights))


def save_draws(bank: DrawBank | FirstDraws, path: Path) -> None:
    """An .npz of timesteps [K] and noises [K, C, h, w]: with it anyone can recompute a score."""
    np.savez(path, timesteps=bank.timesteps, noises=bank.noises)


def _stratum_order(strata: int) -> NDArray[np.int64]:
    bits = strata.bit_length() - 1
    shift = sum(1 << bit for bit in range(bits - 2, -1, -2))  # 0101…b, read from the highest bit
    reversed_bits = [int(f"{pair:0{bits}b}"[::-1], 2) if bits else 0 for pair in range(strata)]
    return np.array(reversed_bits, dtype=np.int64) ^ shift
