"""Measures how a small pipeline is best used and writes its scoring.json: band, weights, rule, centring, features.

Owns the choice of settings on scenes with true boxes, which must not be the ones that results are reported on.
Everything is computed in eager torch by the graphs, draw bank, rules and windows that serving uses; must not know
ONNX or a server. An order of draws and optimised noises are of another band: make them again afterwards
(export_scripts/training/noises.py).

    python -m benchmarks.localisation.tune PIPELINE SCENES.tar
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.localisation import pointing as localisation
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.tar import read_tar
from export_scripts.features.retrieval import compare
from export_scripts.graphs.draw_bank import SEED, Band, DrawBank, make_draw_bank, spread_weights
from export_scripts.graphs.draw_maps import draw_maps, latents_of
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.small_pipeline import ScoringProfile
from selector.commands.mistakes import run_alone
from selector.localisation.centring import CENTRINGS, NONE
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import RULES, ScoringRule, reduce_deltas, rule
from selector.localisation.windows import brightness_z, window_grid, window_means

BANDS = ((0.35, 0.65), (0.4, 0.7), (0.45, 0.75), (0.5, 0.8), (0.4, 0.8))
BRIGHTNESS_WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.8)
FEATURE_TIMESTEPS = (50, 150, 250, 350, 450)
WEIGHT_SLICES = 8
BANK = 64


@dataclass(frozen=True)
class Found:
    """Localisation of one setting: pointing overall and on decoy scenes, mean IoU; shares of images."""

    pointing: float
    pointing_decoys: float
    mean_iou: float

    @property
    def merit(self) -> float:
        """What settings are chosen by: decoy scenes count as much as all, IoU breaks near ties."""
        return (self.pointing + self.pointing_decoys) / 2 + 0.1 * self.mean_iou


def delta_maps(source: SourcePipeline, scenes: Scenes, bank: DrawBank, draws: int, kind: str) -> NDArray[np.float32]:
    """Every draw's delta map, float32 [n, draws, h, w]; kind: the name of a rule."""
    classes = len(source.classes)
    references = np.stack([rule(kind).references(c, classes, draws) for c in range(classes)])[scenes.labels]
    return draw_maps(source, bank, latents_of(source, scenes.planes), scenes.labels, references)


def slice_weights(windows: NDArray[np.float32], bank: DrawBank) -> tuple[float, ...]:
    """1 / standard deviation of the window means within each of `WEIGHT_SLICES` slices of the band, mean 1.

    windows: [n, K, a, b] of all K draws of the bank. No label enters.
    """
    spread = (windows - windows.mean(axis=(2, 3), keepdims=True)).std(axis=(0, 2, 3))
    slices = ((bank.strata + 0.5) / (len(bank) // 2) * WEIGHT_SLICES).astype(int)
    inverse = np.array([1 / spread[slices == s].mean() for s in range(WEIGHT_SLICES)])
    return tuple(round(float(w), 4) for w in inverse / inverse.mean())


def localise(means: Sequence[NDArray[np.float32]], scenes: Scenes, setting: WindowSetting) -> Found:
    """Pointing and IoU of each image's best window by a setting, averaged. means: mean delta maps, float32 [h, w]."""
    return _averages(localisation.localise_maps(means, scenes, setting))


def _averages(found: localisation.Localisation) -> Found:
    return Found(found.pointing, found.pointing_decoys, found.mean_iou)


def best_band(
    source: SourcePipeline, scenes: Scenes, draws: int, setting: WindowSetting, seeds: Sequence[int]
) -> tuple[tuple[float, float], dict[tuple[float, float], Found]]:
    """The band whose rotating contrast localises best, over several banks of noise, and every band's figures."""
    figures, still = {}, replace(setting, rule=rule("rotating"), centring=NONE)
    for band in BANDS:
        runs = []
        for seed in seeds:
            bank = make_draw_bank(BANK, Band(*band, _schedule(source)), source.latent, seed=seed)
            maps = delta_maps(source, scenes, bank, draws, "rotating")
            runs.append(localise(list(maps.mean(axis=1)), scenes, still))
        figures[band] = Found(*np.mean([(r.pointing, r.pointing_decoys, r.mean_iou) for r in runs], axis=0).tolist())
        print(f"band {band}: {_text(figures[band])}", file=sys.stderr)
    return max(figures, key=lambda band: figures[band].merit), figures


def compare_rules(
    maps: Mapping[str, NDArray[np.float32]], weights: NDArray[np.float32], scenes: Scenes, setting: WindowSetting
) -> dict[tuple[str, float], Found]:
    """Every rule, those with a prior at every brightness weight. maps: [n, draws, h, w] by kind of reference."""
    found = {}
    for name, each in RULES.items():
        means = mean_maps(each, maps, weights)
        for prior in BRIGHTNESS_WEIGHTS if each.prior == "brightness" else (0.0,):
            ruled = replace(setting, rule=each, prior_weight=prior, centring=NONE)
            found[name, prior] = localise(means, scenes, ruled)
    return found


def mean_maps(
    used: ScoringRule, maps: Mapping[str, NDArray[np.float32]], weights: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The mean delta maps by a rule's references and weights."""
    return [reduce_deltas(deltas, used.weights(weights)) for deltas in maps[used.reference]]


def compare_features(source: SourcePipeline, scenes: Scenes) -> dict[tuple[int, str | int], float]:
    """How many images are found by their features (export_scripts/features), by (timestep, block), on the true boxes' crops."""
    crops = [
        i[:, t : t + side, x : x + side]
        for i, t, x, side in zip(scenes.planes, scenes.tops, scenes.lefts, scenes.sides, strict=True)
    ]
    latents = latents_of(source, np.stack([_enlarged(crop, source.resolution) for crop in crops]))
    compared = compare(source, latents, scenes.labels, tuple(source.denoiser.taps.widths), FEATURE_TIMESTEPS)
    return {(each.timestep, each.block): each.accuracy for each in compared}


def _enlarged(crop: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    pixels = torch.from_numpy(crop)[None].float()
    enlarged = torch.nn.functional.interpolate(pixels, (side, side), mode="bicubic", align_corners=False)
    return enlarged.round().clamp(0, 255).to(torch.uint8)[0].numpy()


def tune(source: SourcePipeline, scenes: Scenes, draws: int, seeds: int) -> tuple[ScoringProfile, dict[str, object]]:
    """The profile that does best on these scenes, and the figures it was chosen by."""
    profile = source.profile
    side, stride = round(profile.window_fraction * source.resolution), source.resolution // 16
    setting, grid = WindowSetting(rule("rotating"), 0.0, (side,), stride), window_grid(source.resolution, side, stride)
    bright = np.stack([brightness_z(image, grid) for image in scenes.canvases])
    band, bands = best_band(source, scenes, draws, setting, [SEED + s for s in range(seeds)])
    bank = make_draw_bank(BANK, Band(*band, _schedule(source)), source.latent)
    few = np.arange(len(scenes.labels)) % 4 == 0
    sample = delta_maps(source, scenes.only(few), bank, BANK, "rotating")
    weights = slice_weights(window_means(sample, grid), bank)
    given = np.asarray(spread_weights(bank, weights)[:draws], np.float32)
    maps = {kind: delta_maps(source, scenes, bank, draws, kind) for kind in ("null", "rotating")}
    rules = compare_rules(maps, given, scenes, setting)
    (name, prior) = max(rules, key=lambda key: rules[key].merit)
    means, chosen = mean_maps(rule(name), maps, given), replace(setting, rule=rule(name), prior_weight=prior)
    centrings = {each: localise(means, scenes, replace(chosen, centring=each)) for each in CENTRINGS}
    features = compare_features(source, scenes)
    timestep, block = max(features, key=lambda key: features[key])
    profile = replace(
        profile, t_min=band[0], t_max=band[1], dift_timestep=timestep, dift_block=block, rule=name,
        timestep_weights=weights, brightness_weight=prior or BRIGHTNESS_WEIGHTS[0],
        centring=max(centrings, key=lambda key: centrings[key].merit), draw_order=None, auto_draws=0,
    )  # fmt: skip
    figures = {
        "brightest": _text(_averages(localisation.localise(bright, grid, scenes))),
        "bands": {f"{low}-{high}": _text(found) for (low, high), found in bands.items()},
        "rules": {f"{key[0]} {key[1] or ''}".strip(): _text(found) for key, found in rules.items()},
        "centring": {centring: _text(found) for centring, found in centrings.items()},
        "features": {f"t={key[0]} {key[1]}": round(value, 4) for key, value in features.items()},
    }
    return profile, figures


def _schedule(source: SourcePipeline) -> int:
    return source.denoiser.schedule.steps


def _text(found: Found) -> str:
    return f"pointing {found.pointing:.3f} decoys {found.pointing_decoys:.3f} IoU {found.mean_iou:.3f}"


@click.command()
@click.argument("pipeline", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("scenes", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--draws", type=click.IntRange(min=1, max=BANK), default=12, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=2, show_default=True, help="Noise banks per band.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Use every n-th scene.")
@click.option("--write/--dry-run", default=True, help="Replace the pipeline's scoring.json.")
def main(pipeline: Path, scenes: Path, draws: int, seeds: int, every: int, write: bool) -> None:
    """Choose PIPELINE's scoring settings on SCENES, a tar with true boxes, and write them beside its weights."""
    source = load_source(pipeline)
    found = read_tar(scenes, source.classes)
    kept = np.arange(len(found.labels)) // 2 % every == 0  # neighbours are one scene without and one with a decoy
    found = found.only(kept)
    profile, figures = tune(source, found, draws, seeds)
    if write:
        profile.save(pipeline)
    click.echo(json.dumps(figures, indent=2))
    click.echo(profile)


if __name__ == "__main__":
    run_alone(main, "tune_scoring")
