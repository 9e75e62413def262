"""A UNet and a DiT side by side: losses by the plain definition, costs counted once, differences image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.localisation.denoisers import bank_of, class_losses, main, measure, parameters, table
from benchmarks.scenes.generator import make_scenes
from benchmarks.scenes.items import CLASS_NAMES, ITEM_PX, Items
from benchmarks.scenes.scenes import Scenes
from export_scripts.graphs.draw_maps import latents_of
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.small_pipeline import ScoringProfile
from export_scripts.training.architectures import Architecture, build_pipeline
from export_scripts.training.dit import DitConfig
from export_scripts.training.model import ModelConfig
from selector.progress import Progress
from tests.idx_files import write_idx
from tests.tiny_pipeline import write_tiny_pipeline

PROFILE = ScoringProfile(0.3, 0.6, 5, "mid", 28 / 64, "rotating")
SHAPES: dict[str, Architecture] = {
    "UNet": ModelConfig(block_channels=(8, 8), heads=2, tokens=1, width=8, norm_groups=4),
    "DiT": DitConfig(width=8, heads=2, blocks=2),
}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    images = np.random.default_rng(5).integers(0, 200, size=(20, ITEM_PX, ITEM_PX), dtype=np.uint8)
    return make_scenes(Items(images, np.arange(20) % 10), 2, seed=3)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourcePipeline]:
    """Untrained; the classes of one are in another order."""
    found, folder = {}, tmp_path_factory.mktemp("pipelines")
    for name, shape in SHAPES.items():
        torch.manual_seed(1)
        names = CLASS_NAMES if name == "UNet" else sorted(CLASS_NAMES)
        pipeline = build_pipeline(shape, names, "gray", -0.8, 2.0)
        if name == "DiT":  # it begins with an output of 0
            for linear in (pipeline.transformer.proj_out_1, pipeline.transformer.proj_out_2):
                torch.nn.init.normal_(linear.weight, std=0.5)
        pipeline.save_pretrained(folder / name)
        replace(PROFILE, dift_block="mid" if name == "UNet" else 1).save(folder / name)
        found[name] = load_source(folder / name)
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_losses_are_those_of_v_by_every_row_of_the_table(
    name: str, sources: dict[str, SourcePipeline], scenes: Scenes
) -> None:
    source = sources[name]
    bank, latents = bank_of(source), latents_of(source, scenes.images[:3, None])
    losses = class_losses(source, bank, latents, 2)
    scheduler, expected = source.denoiser.schedule.scheduler, []
    for row in range(len(CLASS_NAMES) + 1):
        errors = []
        for draw in range(2):
            steps, noise = (
                torch.full((3,), int(bank.timesteps[draw])),
                torch.from_numpy(bank.noises[draw]).expand(3, -1, -1, -1),
            )
            with torch.no_grad():
                given = scheduler.add_noise(latents, noise, steps)
                predicted = source.denoiser.predict(given, steps, (source.table[row].expand(3, -1, -1),))
            errors.append((predicted - scheduler.get_velocity(latents, noise, steps)).square().mean(dim=(1, 2, 3)))
        expected.append(torch.stack(errors).mean(0))
    np.testing.assert_allclose(losses, torch.stack(expected, dim=1).numpy(), rtol=1e-4)


def test_what_a_saved_dit_repeats_in_every_block_counts_once(sources: dict[str, SourcePipeline]) -> None:
    source = sources["DiT"]
    blocks = source.denoiser.network.transformer_blocks
    shared = sum(p.numel() for p in blocks[1].norm1.emb.parameters())
    every = sum(p.numel() for p in source.denoiser.network.parameters())
    assert shared
    # Initial zeros of equal shape are equal as well: parameters of a fresh network are counted short, never twice.
    assert parameters(source) <= every - shared + source.table.numel()


def test_the_last_column_is_the_difference_image_by_image(sources: dict[str, SourcePipeline], scenes: Scenes) -> None:
    measured = {name: measure(source, scenes, (1, 2), Progress(quiet=True)) for name, source in sources.items()}
    for one in measured.values():
        assert one.losses.shape == (4, len(CLASS_NAMES) + 1)
        assert set(one.pointing) == {2, 4}
    rows = {
        line.split(" | ")[0].lstrip("| "): line.rstrip(" |").split(" | ")[1:]
        for line in table(measured).splitlines()[2:]
    }
    first, second, lead = (float(cell.split()[0]) for cell in rows["loss of v, own class"])
    assert lead == pytest.approx(second - first, abs=0.002)
    assert {"pointing, 2 rows", "pointing, 4 rows, decoys"} <= set(rows)
    same = table({"one": measured["UNet"], "other": measured["UNet"]})
    assert "0.000 [0.000, 0.000] |" in same


def test_labels_are_the_pipeline_s_own(sources: dict[str, SourcePipeline], scenes: Scenes) -> None:
    found = measure(sources["DiT"], scenes, (1,), Progress(quiet=True))
    names = [sources["DiT"].classes[label] for label in found.labels]
    assert names == [CLASS_NAMES[label] for label in scenes.labels[::5]]


def test_a_pipeline_of_other_classes_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(6).integers(0, 200, size=(20, ITEM_PX, ITEM_PX), dtype=np.uint8)
    write_idx(tmp_path, Items(images, np.arange(20) % 10))
    other = write_tiny_pipeline(tmp_path / "other")
    arguments = ["--pipeline", f"mine={other}", "--scenes", "20", "--split", "train", "--source", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "is of other classes than these scenes: bee, cup, kite" in result.output
