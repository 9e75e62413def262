"""A training run: exact resumption, and that it learns at all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export_scripts.training.architectures import Architecture
from export_scripts.training.dit import DitConfig
from export_scripts.training.images import ImageSet
from export_scripts.training.model import (
    ModelConfig,
    NoiseConfig,
    denoising_loss,
)
from export_scripts.training.run import TrainConfig, Trainer

TINY = ModelConfig(image_size=16, patch_size=4, block_channels=(8, 8), heads=2, tokens=2, width=8, norm_groups=4)

DIT = DitConfig(image_size=16, patch_size=4, width=8, heads=2, blocks=2)


def _config(steps: int) -> TrainConfig:
    return TrainConfig(steps=steps, batch=8, warmup_steps=2, decay_share=0.5, model=TINY, seed=3)


@pytest.mark.parametrize("model", [TINY, DIT], ids=["unet", "dit"])
def test_a_resumed_run_equals_an_uninterrupted_one(model: Architecture, images: ImageSet, tmp_path: Path) -> None:
    config = replace(_config(6), model=model)
    whole = Trainer(config, images, torch.device("cpu"))
    losses = list(whole.steps())
    first = Trainer(config, images, torch.device("cpu"))
    head = list(itertools.islice(first.steps(), 3))
    first.save(tmp_path)
    second = Trainer(config, images, torch.device("cpu"))
    second.restore(tmp_path)
    assert head + list(second.steps()) == losses
    for name, weight in whole.average.state_dict().items():
        assert torch.equal(weight, second.average.state_dict()[name]), name


def test_a_checkpoint_of_other_settings_is_refused(images: ImageSet, tmp_path: Path) -> None:
    trainer = Trainer(_config(2), images, torch.device("cpu"))
    trainer.save(tmp_path)
    other = Trainer(replace(_config(2), learning_rate=0.5), images, torch.device("cpu"))
    with pytest.raises(ValueError, match="other settings"):
        other.restore(tmp_path)
    dit = Trainer(replace(_config(2), model=DIT), images, torch.device("cpu"))
    with pytest.raises(ValueError, match="other settings"):
        dit.restore(tmp_path)
    longer = Trainer(_config(9), images, torch.device("cpu"))
    longer.restore(tmp_path)  # more steps are not another configuration


@pytest.mark.parametrize("model", [TINY, DIT], ids=["unet", "dit"])
def test_training_lowers_the_loss_of_the_averaged_weights(model: Architecture, images: ImageSet) -> None:
    config = replace(_config(30), learning_rate=5e-3, ema_decay=0.8, model=model)
    trainer = Trainer(config, images, torch.device("cpu"))

    def held_loss() -> float:
        with torch.no_grad():
            batches = [trainer.batch(1000 + step) for step in range(4)]
            return sum(
                float(denoising_loss(trainer.average, trainer.scheduler, z, rows, t, noise))
                for z, rows, t, noise in batches
            )

    before = held_loss()
    for _ in trainer.steps():
        pass
    assert held_loss() < 0.9 * before


def test_the_condition_is_dropped_and_kept_in_the_stated_shares(images: ImageSet) -> None:
    config = replace(_config(1), batch=4000, noise=NoiseConfig(drop_share=0.12))
    trainer = Trainer(config, images, torch.device("cpu"))
    _, rows, _, _ = trainer.batch(0)
    assert float((rows == 0).float().mean()) == pytest.approx(0.12, abs=0.02)
    assert float((rows == 2).float().mean()) == pytest.approx(0.44, abs=0.03)
