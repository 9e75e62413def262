"""Choosing scoring settings: the measures by hand-worked cases, and a profile that the pipeline then carries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.localisation import tune as tune_scoring
from benchmarks.localisation.pointing import localise as localise_scores
from benchmarks.localisation.tune import compare_rules, localise, main, slice_weights
from benchmarks.scenes.generator import make_scenes
from benchmarks.scenes.items import CLASS_NAMES, ITEM_PX, Items
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.tar import write_tar
from export_scripts.graphs.draw_bank import Band, make_draw_bank
from export_scripts.small_pipeline import ScoringProfile
from export_scripts.training.architectures import build_pipeline
from export_scripts.training.model import ModelConfig
from selector.localisation.centring import CENTRINGS
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import RULES, rule
from selector.localisation.windows import window_grid


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    images = np.random.default_rng(5).integers(0, 200, size=(20, ITEM_PX, ITEM_PX), dtype=np.uint8)
    return make_scenes(Items(images, np.arange(20) % 10), 2, seed=3)


def test_pointing_asks_for_the_windows_centre_in_the_true_box(scenes: Scenes) -> None:
    grid = window_grid(64, ITEM_PX, 4)
    placed = replace(scenes, tops=np.full(20, 8), lefts=np.full(20, 8), decoys=np.arange(20) < 4)
    scores = np.zeros((20, *grid.shape), np.float32)
    scores[:, 2, 2] = 1  # the window at (8, 8): exactly the box
    exact = localise_scores(scores, grid, placed)
    assert (exact.pointing, exact.pointing_decoys, exact.mean_iou) == (1, 1, 1)
    scores[:2, 2, 6] = 2  # the window at (8, 24): its centre lies 2 px outside the box
    found = localise_scores(scores, grid, placed)
    assert found.pointing == pytest.approx(0.9)
    assert found.pointing_decoys == pytest.approx(0.5)
    shifted = 28 * 12 / (2 * 28 * 28 - 28 * 12)
    assert found.mean_iou == pytest.approx((18 + 2 * shifted) / 20)


def test_centring_is_compared_by_the_windows_that_it_moves(scenes: Scenes) -> None:
    maps = np.zeros((20, 16, 16), np.float32)
    for each, top, left in zip(maps, scenes.tops // 4, scenes.lefts // 4, strict=True):
        each[top : top + 7, left : left + 7] = 1
    still = WindowSetting(rule("rotating"), 0.0, (ITEM_PX,), 4)
    moved = replace(still, centring="contrast")
    assert localise(list(maps), scenes, moved).mean_iou > localise(list(maps), scenes, still).mean_iou


def test_slices_with_larger_deltas_weigh_less() -> None:
    bank = make_draw_bank(64, Band(0.4, 0.8, 1000), (1, 2, 2))
    windows = np.random.default_rng(0).standard_normal((30, 64, 4, 4)).astype(np.float32)
    windows[:, bank.strata < 16] *= 10  # the less noisy half
    weights = slice_weights(windows, bank)
    assert len(weights) == tune_scoring.WEIGHT_SLICES
    assert np.mean(weights) == pytest.approx(1, abs=1e-3)
    assert np.mean(weights[4:]) / np.mean(weights[:4]) == pytest.approx(10, rel=0.05)


def test_the_brightness_prior_breaks_what_deltas_leave_open(scenes: Scenes) -> None:
    images = np.zeros_like(scenes.images)
    for image, box in zip(images, scenes.boxes, strict=True):
        image[box.top : box.top + box.height, box.left : box.left + box.width] = 255
    silent, setting = np.zeros((20, 4, 16, 16), np.float32), WindowSetting(rule("rotating"), 0.0, (ITEM_PX,), 4)
    maps = {"null": silent, "rotating": silent}
    figures = compare_rules(maps, np.ones(4, np.float32), replace(scenes, images=images), setting)
    assert {name for name, _ in figures} == set(RULES)
    assert figures["rotating-brightness", 0.3].pointing == 1
    assert figures["rotating", 0.0].pointing < 0.8


def merit(text: str) -> float:
    """`Found.merit` of "pointing P decoys D IoU I"."""
    _, pointing, _, decoys, _, iou = text.split()
    return (float(pointing) + float(decoys)) / 2 + 0.1 * float(iou)


def test_the_command_writes_a_profile_chosen_among_the_candidates(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_scoring, "BANDS", ((0.3, 0.6), (0.5, 0.8)))
    monkeypatch.setattr(tune_scoring, "FEATURE_TIMESTEPS", (150,))
    config = ModelConfig(block_channels=(8, 8), heads=2, tokens=1, width=8, norm_groups=4)
    build_pipeline(config, CLASS_NAMES, "gray", -0.8, 2.0).save_pretrained(tmp_path / "pipe")
    ScoringProfile(0.1, 0.9, 5, "mid", 28 / 64, "null").save(tmp_path / "pipe")
    write_tar(scenes, tmp_path / "scenes.tar")
    arguments = [str(tmp_path / "pipe"), str(tmp_path / "scenes.tar"), "--draws", "2", "--seeds", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    profile = ScoringProfile.load(tmp_path / "pipe")
    assert (profile.t_min, profile.t_max) in tune_scoring.BANDS
    assert profile.rule in RULES
    figures, _ = json.JSONDecoder().raw_decode(result.stdout)
    merits = {name: merit(text) for name, text in figures["centring"].items()}
    assert merits.keys() == set(CENTRINGS)
    assert merits[profile.centring] > max(merits.values()) - 0.002, "figures have three digits"
    assert profile.dift_timestep == 150
    assert profile.window_fraction == 28 / 64
    assert profile.timestep_weights is not None
    assert len(profile.timestep_weights) == tune_scoring.WEIGHT_SLICES
