"""Optimised noises: they agree better with the bank, keep their length, and the exporter puts them first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from client import contract
from export_scripts.errors import PipelineError
from export_scripts.graphs.draw_bank import Band, make_draw_bank
from export_scripts.graphs.draw_maps import latents_of
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.first_draws import DRAWS_FILE, FirstDraws
from export_scripts.pipelines.source import at_resolution, load_source
from export_scripts.small_pipeline import ScoringProfile
from export_scripts.training.draw_order import main as choose_order
from export_scripts.training.noises import Optimiser, Optimising, main
from selector.progress import Progress
from tests.tiny_pipeline import CLASSES, RESOLUTION


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 1, RESOLUTION, RESOLUTION), dtype=np.uint8)


@pytest.fixture
def pipeline(tiny_pipeline: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_pipeline, tmp_path / "pipeline")


def test_steps_raise_the_agreement_of_images_and_leave_a_noise_its_length(tiny_pipeline: Path) -> None:
    source, labels = load_source(tiny_pipeline), np.arange(16) % len(CLASSES)
    config = Optimising(stages=(1, 2), steps=12, batch=14, learning_rate=0.1)
    optimiser = Optimiser(source, latents_of(source, pixels(16)), labels, config, Progress(quiet=True))
    seen = np.arange(14)

    def agreement(noise: np.ndarray) -> float:
        with torch.no_grad():
            return float(optimiser.agreement(seen, optimiser.deltas(seen, 0, torch.from_numpy(noise))).mean())

    before = agreement(optimiser.noises[0])
    stages = [draws for draws, _ in optimiser.run()]
    assert agreement(stages[0].noises[0]) > before + 0.02
    assert [len(draws.timesteps) for draws in stages] == [1, 2]
    np.testing.assert_array_equal(stages[1].noises[0], stages[0].noises[0], "fewer draws are a prefix of more")
    np.testing.assert_allclose(
        np.linalg.norm(stages[1].noises.reshape(2, -1), axis=1), np.sqrt(stages[1].noises[0].size), rtol=1e-5
    )


def test_the_command_writes_draws_and_an_order_that_the_exporter_takes(pipeline: Path, tmp_path: Path) -> None:
    for number, image in enumerate(pixels(18)):
        (folder := tmp_path / "data" / CLASSES[number % 3]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{number}.png")
    before = make_leaves(load_source(pipeline), 64).identity
    asked = [str(pipeline), str(tmp_path / "data"), "--draws", "2,3", "--steps", "2", "--batch", "4", "--images", "16"]
    for command, arguments in ((main, asked), (choose_order, asked[:2])):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 0, done.output
    leaves = make_leaves(load_source(pipeline), 64)
    with np.load(pipeline / DRAWS_FILE) as arrays:
        np.testing.assert_array_equal(leaves.bank.noises[:3], arrays["noises"])
    assert leaves.identity.pipeline != before.pipeline, "other noises are other scores"
    assert leaves.identity.draw_order == ScoringProfile.load(pipeline).draw_order
    assert leaves.identity.draw_order == tuple(range(64)), "each was optimised for its place"
    assert leaves.identity.auto_draws > 0
    assert make_leaves(load_source(pipeline), 16).identity.draw_order == tuple(range(16)), "they are no pairs"


def test_draws_come_first_and_the_banks_own_follow() -> None:
    band, latent = Band(0.2, 0.8, 1000), (2, 3, 3)
    plain = make_draw_bank(8, band, latent)
    own = FirstDraws(np.array([250, 799, 5]), np.ones((3, *latent), np.float32))
    bank = make_draw_bank(8, band, latent, first=own)
    assert bank.timesteps.tolist() == [250, 799, 5, *plain.timesteps[:5]]
    np.testing.assert_array_equal(bank.noises[3:], plain.noises[:5])
    assert bank.strata[:3].tolist() == [0, 3, 0]
    assert len(make_draw_bank(2, band, latent, first=own)) == 2


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"timesteps": np.zeros(2), "noises": np.zeros((2, 1, 1, 1), np.float32)}, "need"),
        ({"timesteps": np.zeros(2)}, "damaged or no file of draws"),
        ({"timesteps": np.array([0, 1000]), "noises": None}, "outside the schedule of 1000 steps"),
        (b"nothing", "damaged or no file of draws"),
    ],
)
def test_draws_that_do_not_fit_the_pipeline_are_refused(pipeline: Path, arrays: object, said: str) -> None:
    latent = load_source(pipeline).latent
    if isinstance(arrays, dict):
        filled = {
            name: np.zeros((2, *latent), np.float32) if value is None else value for name, value in arrays.items()
        }
        np.savez(pipeline / DRAWS_FILE, **filled)
    else:
        (pipeline / DRAWS_FILE).write_bytes(arrays)  # type: ignore[arg-type]
    with pytest.raises(PipelineError, match=said):
        load_source(pipeline)


def test_another_resolution_goes_without_them(pipeline: Path) -> None:
    latent = load_source(pipeline).latent
    np.savez(pipeline / DRAWS_FILE, timesteps=np.array([500]), noises=np.ones((1, *latent), np.float32))
    source = load_source(pipeline)
    assert source.first_draws is not None
    assert at_resolution(source, 2 * RESOLUTION).first_draws is None
    assert make_leaves(source, 4).by_name[contract.UNET]
