"""Training: exact resumption, faithful noise and targets, the class order, and that it learns at all."""

from __future__ import annotations

import itertools
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from export_scripts.small_pipeline import ScoringProfile, SmallPipeline
from export_scripts.train_small import main
from export_scripts.training.images import ImageSet, batch_indices, read_image_set, zoom
from export_scripts.training.model import (
    Denoiser,
    ModelConfig,
    NoiseConfig,
    build_pipeline,
    denoising_loss,
    latent_statistics,
    sample_timesteps,
)
from export_scripts.training.run import TrainConfig, Trainer

TINY = ModelConfig(image_size=16, patch_size=4, block_channels=(8, 8), heads=2, tokens=2, width=8, norm_groups=4)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Two classes that differ in brightness, 12 images each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, size=(24, 1, 16, 16), dtype=np.uint8)
    labels = np.arange(24) % 2
    pixels[labels == 1] += 180
    return ImageSet(pixels, labels, ("dark", "bright"))


def _config(steps: int) -> TrainConfig:
    return TrainConfig(steps=steps, batch=8, warmup_steps=2, decay_share=0.5, model=TINY, seed=3)


def test_a_resumed_run_equals_an_uninterrupted_one(images: ImageSet, tmp_path: Path) -> None:
    whole = Trainer(_config(6), images, torch.device("cpu"))
    losses = list(whole.steps())
    first = Trainer(_config(6), images, torch.device("cpu"))
    head = list(itertools.islice(first.steps(), 3))
    first.save(tmp_path)
    second = Trainer(_config(6), images, torch.device("cpu"))
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
    longer = Trainer(_config(9), images, torch.device("cpu"))
    longer.restore(tmp_path)  # more steps are not another configuration


def test_training_lowers_the_loss_of_the_averaged_weights(images: ImageSet) -> None:
    trainer = Trainer(replace(_config(30), learning_rate=5e-3, ema_decay=0.8), images, torch.device("cpu"))

    def held_loss() -> float:
        with torch.no_grad():
            batches = [trainer.batch(1000 + step) for step in range(4)]
            return sum(
                float(denoising_loss(trainer.average, trainer.pipeline.scheduler, z, rows, t, noise))
                for z, rows, t, noise in batches
            )

    before = held_loss()
    for _ in trainer.steps():
        pass
    assert held_loss() < 0.9 * before


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_has_no_loss(prediction: str) -> None:
    pipeline = build_pipeline(replace(TINY, prediction_type=prediction), ["a", "b"], "gray", 0.0, 1.0)
    latents, noise = torch.randn(3, 16, 4, 4), torch.randn(3, 16, 4, 4)
    timesteps = torch.tensor([10, 500, 990])
    abar = pipeline.scheduler.alphas_cumprod[timesteps].reshape(3, 1, 1, 1)
    target = noise if prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * latents

    class Oracle(Denoiser):
        def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            assert torch.allclose(noisy, abar.sqrt() * latents + (1 - abar).sqrt() * noise, atol=1e-6)
            return target

    oracle = Oracle(pipeline.unet, pipeline.class_embedding)
    rows = torch.zeros(3, dtype=torch.int64)
    assert float(denoising_loss(oracle, pipeline.scheduler, latents, rows, timesteps, noise)) < 1e-12


def test_the_condition_is_dropped_and_kept_in_the_stated_shares(images: ImageSet) -> None:
    config = replace(_config(1), batch=4000, noise=NoiseConfig(drop_share=0.12))
    trainer = Trainer(config, images, torch.device("cpu"))
    _, rows, _, _ = trainer.batch(0)
    assert float((rows == 0).float().mean()) == pytest.approx(0.12, abs=0.02)
    assert float((rows == 2).float().mean()) == pytest.approx(0.44, abs=0.03)


def test_timesteps_cover_the_schedule_with_the_bands_share() -> None:
    config = NoiseConfig(band=(0.5, 0.8), band_share=0.7)
    timesteps, in_band = sample_timesteps(config, 20_000, 1000, torch.Generator().manual_seed(0))
    assert torch.equal(in_band, (timesteps >= 500) & (timesteps < 800))
    assert float(in_band.float().mean()) == pytest.approx(0.7, abs=0.02)
    assert int(timesteps.min()) == 0
    assert int(timesteps.max()) == 999


def test_latents_of_the_training_images_have_unit_variance(images: ImageSet) -> None:
    pixels = torch.from_numpy(images.pixels).float() / 127.5 - 1
    pipeline = build_pipeline(TINY, images.class_names, "gray", *latent_statistics(pixels))
    latents = pipeline.vae.encode(pixels)
    assert float(latents.mean()) == pytest.approx(0, abs=1e-5)
    assert float(latents.std()) == pytest.approx(1, abs=1e-5)


def test_a_zoom_shows_a_part_of_the_image_and_leaves_other_rows_alone() -> None:
    ramp = torch.linspace(0, 1, 16).expand(40, 1, 16, 16).clone()
    zoomed = torch.arange(40) % 2 == 0
    out = zoom(ramp, zoomed, 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(out[~zoomed], ramp[~zoomed])
    spans = (out[zoomed][..., -1] - out[zoomed][..., 0]).mean(dim=(1, 2))
    assert (spans < 0.99).all()
    assert (spans > 0.3).all()


def test_every_image_is_seen_once_per_epoch() -> None:
    seen = np.concatenate([batch_indices(10, 4, step, seed=1) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])


def test_classes_keep_the_order_of_the_list_and_a_wrong_list_is_refused(tmp_path: Path) -> None:
    for folder, level in (("ant", 10), ("zebra", 200)):
        (tmp_path / folder).mkdir()
        Image.new("L", (20, 16), level).save(tmp_path / folder / "0.png")
    found = read_image_set(tmp_path, 16, ["zebra", "ant"])
    assert found.class_names == ("zebra", "ant")
    assert {name: int(found.pixels[found.labels == i].max()) for i, name in enumerate(found.class_names)} == {
        "zebra": 200,
        "ant": 10,
    }
    assert found.pixels.shape == (2, 1, 16, 16)
    with pytest.raises(ValueError, match="folders found"):
        read_image_set(tmp_path, 16, ["zebra", "bee"])


def test_one_colour_image_makes_the_set_rgb(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (16, 16), 9).save(tmp_path / "a" / "0.png")
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "a" / "1.png")
    assert read_image_set(tmp_path, 16).pixels[:, :, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]


def test_the_command_trains_from_a_tar_and_continues_where_it_stopped(images: ImageSet, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        for i, label in enumerate(images.labels[:8]):
            path = tmp_path / f"{i}.png"
            Image.fromarray(images.pixels[i, 0]).resize((64, 64)).save(path)
            tar.add(path, f"{images.class_names[label]}/{i}.png")
    arguments = [str(tmp_path / "data.tar"), "--out", str(tmp_path / "pipe"), "--batch", "2", "--channels", "8,8"]
    for steps in ("1", "2"):
        result = CliRunner().invoke(main, [*arguments, "--steps", steps, "--device", "cpu"])
        assert result.exit_code == 0, result.output
    assert SmallPipeline.from_pretrained(tmp_path / "pipe").class_names == ("bright", "dark")
    assert ScoringProfile.load(tmp_path / "pipe").rule == "rotating"
    tuned = replace(ScoringProfile.load(tmp_path / "pipe"), rule="null")
    tuned.save(tmp_path / "pipe")
    for flag, rule in (
        ("--resume", "null"),
        ("--fresh", "rotating"),
    ):  # fresh weights lose what was measured on old ones
        result = CliRunner().invoke(main, [*arguments, "--steps", "3", "--device", "cpu", flag])
        assert result.exit_code == 0, result.output
        assert ScoringProfile.load(tmp_path / "pipe").rule == rule
    (tmp_path / "pipe" / "notes.txt").write_text("keep")
    result = CliRunner().invoke(main, [*arguments, "--steps", "4", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "pipe" / "notes.txt").read_text() == "keep"


def test_a_folder_that_no_training_wrote_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    result = CliRunner().invoke(main, [str(tmp_path), "--out", str(tmp_path / "mine"), "--steps", "1"])
    assert result.exit_code == 1
    assert "mine holds what no training wrote" in result.output
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
