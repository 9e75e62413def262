"""Which features find images of the same label: against brute force, and on networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export_scripts.errors import PipelineError
from export_scripts.features.retrieval import at_timestep, compare, encoded, found, interval
from export_scripts.pipelines.denoiser import Conditions, Place
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.export_scripts.test_kinds import KINDS
from tests.tiny_dit import WIDTH, tiny_dit, write_dit
from tests.tiny_pipeline import write_tiny_pipeline

LABELS = np.arange(16) % 2


def two_kinds() -> np.ndarray:
    """uint8 [16, 32, 32, 3]: stripes across where the label is 0, down where it is 1, each with noise of its own."""
    stripes = np.where(np.arange(32) % 8 < 4, 40, 200).astype(np.int64)
    across = np.broadcast_to(stripes[:, None, None], (32, 32, 3))
    images = np.stack([across if label == 0 else across.transpose(1, 0, 2) for label in LABELS])
    noise = np.random.default_rng(0).integers(-20, 21, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_an_image_is_found_if_the_most_similar_other_one_has_its_label() -> None:
    rng = np.random.default_rng(1)
    features, labels = unit(rng.normal(size=(30, 5))), rng.integers(0, 3, 30)
    expected = []
    for row in range(30):
        others = [other for other in range(30) if other != row]
        nearest = min(others, key=lambda other: float(np.square(features[other] - features[row]).sum()))
        expected.append(float(labels[nearest] == labels[row]))
    assert found(features, labels).tolist() == expected


def test_features_that_say_nothing_find_by_chance_whatever_comes_first() -> None:
    labels = np.array([0, 0, 0, 1])
    assert found(np.ones((4, 1), np.float32), labels).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0])


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(PipelineError, match="not finite"):
        found(np.array([[1.0], [np.nan]], np.float32), np.array([0, 1]))


def test_an_interval_covers_the_true_share_nearly_always() -> None:
    rng, inside = np.random.default_rng(2), 0
    for _ in range(200):
        low, high = interval((rng.random(150) < 0.6).astype(float))
        inside += low <= 0.6 <= high
    assert inside >= 180


def deaf(transformer: nn.Module, block: int) -> nn.Module:
    """What the attention of that block is given is the same for all images: its modulation's scale is -1."""
    linear, width = transformer.transformer_blocks[block].norm1.linear, WIDTH
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
        linear.bias[:width], linear.bias[width : 2 * width] = 1.0, -1.0
    return transformer


@pytest.mark.parametrize("block", [0, 1])
def test_a_block_that_tells_classes_apart_wins_over_one_that_does_not(block: int, tmp_path: Path) -> None:
    source = load_source(write_dit(tmp_path, deaf(tiny_dit(), 1 - block)))
    compared = compare(source, encoded(source, two_kinds()), LABELS, (0, 1), (20, 60))
    assert [each.block for each in compared[:2]] == [block, block]
    assert compared[0].accuracy > 0.9
    for each in compared[2:]:
        assert each.accuracy == pytest.approx(7 / 15), "chance"


def test_a_timestep_at_which_little_is_left_of_the_image_loses(tmp_path: Path) -> None:
    """Features are read after the record's own schedule has noised: at its end there is the same noise alone."""
    source = load_source(write_tiny_pipeline(tmp_path))

    def read(_unet: nn.Module, noisy: Tensor, _timesteps: Tensor, _conditions: Conditions, _place: Place) -> Tensor:
        means = noisy.mean(dim=(2, 3)).round()  # so what is less than a half is lost
        return torch.cat((means, torch.ones(len(noisy), 1)), dim=1)

    taps = replace(source.denoiser.taps, read=read)
    source = replace(source, denoiser=replace(source.denoiser, taps=taps))
    images = np.stack([np.full((32, 32, 3), 60 + 120 * label, np.uint8) for label in LABELS])
    compared = compare(source, encoded(source, images), LABELS, ("mid",), (999, 10))
    assert [each.timestep for each in compared] == [10, 999]
    assert compared[0].accuracy == 1


def test_channels_of_massive_activations_are_those_of_the_candidate_s_timestep(tmp_path: Path) -> None:
    """As an export with that timestep would have them."""
    transformer = tiny_dit()
    embedding = transformer.transformer_blocks[0].norm1.emb.timestep_embedder
    with torch.no_grad():  # the second block's tokens get a large channel where the embedded timestep is large
        embedding.linear_2.weight.mul_(200.0)
    folder = write_dit(tmp_path, transformer)
    source = load_source(folder)
    for timestep in (1, 500, 900):
        exported = load_source(folder, Wanted(dift_timestep=timestep)).denoiser.taps.massive
        assert at_timestep(source.denoiser, timestep).taps.massive == exported


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_of_every_kind_can_be_compared(kind: str, tmp_path: Path) -> None:
    source = load_source(KINDS[kind].write(tmp_path), KINDS[kind].wanted)
    images = np.random.default_rng(0).integers(0, 256, (4, source.resolution, source.resolution, 3), dtype=np.uint8)
    seen: list[int] = []
    places = tuple(source.denoiser.taps.widths)
    compared = compare(source, encoded(source, images), np.array([0, 0, 1, 1]), places, (30, 200), seen.append)
    assert {(each.block, each.timestep) for each in compared} == {(place, t) for place in places for t in (30, 200)}
    assert sum(seen) == 4 * len(compared)
