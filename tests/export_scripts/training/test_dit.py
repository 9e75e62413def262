"""A small DiT: begun as its makers do, trained as the UNet is, and read by others with the classes that it was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiTPipeline
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from client import contract
from client.repository import read_identity
from export_scripts.export import export_pipeline
from export_scripts.gates.graph import open_session
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.repository.exported import ONNX_FILE, VERSION_FOLDER
from export_scripts.settings import Settings
from export_scripts.train_small import write_pipeline
from export_scripts.training.architectures import Architecture, build
from export_scripts.training.dit import DitConfig
from export_scripts.training.images import ImageSet
from export_scripts.training.model import ModelConfig
from export_scripts.training.run import TrainConfig, Trainer
from selector.errors import UsageError

TINY = DitConfig(image_size=16, patch_size=2, width=8, heads=2, blocks=2)
NAMES = ("7", "0", "cup, mug")  # what is no index, an index of another class, and what others would split


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    """A trainer after a few steps, and the pipeline that it wrote. Do not write into it."""
    pixels = torch.randint(
        0, 256, (12, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    ).numpy()
    images = ImageSet(pixels, torch.arange(12).remainder(3).numpy(), NAMES)
    config = TrainConfig(steps=4, batch=8, warmup_steps=1, learning_rate=0.05, ema_decay=0.5, model=TINY)
    trainer = Trainer(config, images, torch.device("cpu"))
    list(trainer.steps())
    folder = tmp_path_factory.mktemp("dit") / "pipeline"
    write_pipeline(trainer, folder)
    return trainer, folder


def noisy(rows: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 4, 8, 8, generator=generator), torch.tensor([3, 400, 990])[:rows]


def test_diffusers_reads_what_was_trained_with_every_class_at_its_label(trained: tuple[Trainer, Path]) -> None:
    trainer, folder = trained
    with quiet_loading():
        pipeline = DiTPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    assert pipeline.get_label_ids(["7", "0", "cup", "mug"]) == [0, 1, 2, 2]
    latents, timesteps = noisy()
    seen = []
    with torch.no_grad():
        for row, label in enumerate((3, 0, 1, 2)):  # row 0 is that of no class, whose label is the last
            own = trainer.average(latents, timesteps, torch.full((3,), row))
            read = pipeline.transformer(latents, timestep=timesteps, class_labels=torch.full((3,), label)).sample
            torch.testing.assert_close(read, own)
            seen.append(own)
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(seen) for b in seen[:i]), "classes must be seen"


def test_the_exporter_reads_its_classes_by_the_folders_that_it_was_trained_on(trained: tuple[Trainer, Path]) -> None:
    trainer, folder = trained
    source = load_source(folder)
    assert source.classes == NAMES
    assert source.class_names == ()
    assert source.table.shape == (4, 1, TINY.width), "all blocks share one table, as the makers' do"
    assert (source.profile.dift_block, source.profile.t_min) == (1, trainer.config.noise.band[0])
    latents, timesteps = noisy()
    with torch.no_grad():
        for row in range(4):
            read = source.denoiser.predict(latents, timesteps, (source.table[row].expand(3, -1, -1),))
            torch.testing.assert_close(read, trainer.average(latents, timesteps, torch.full((3,), row)))


def test_an_export_serves_the_trained_classes(trained: tuple[Trainer, Path], tmp_path: Path) -> None:
    """LOSS_PROMPT of the exported graph is the training loss of the same noise, in v, turned into one in epsilon."""
    trainer, folder = trained
    repository = tmp_path / "repository"
    export_pipeline(folder, repository, Settings(draws=2, max_batch=2, served_gate=False))
    assert read_identity(repository).classes == NAMES
    sessions = {
        name: open_session(name, repository / name / VERSION_FOLDER / ONNX_FILE, threads=1)
        for name in (contract.PROMPT_EMBEDDING, contract.UNET)
    }
    ids = torch.tensor([[2], [3]], dtype=torch.int32).numpy()
    prompts = dict(zip(("PROMPT_ID", "REFERENCE_ID"), (ids, ids[::-1].copy()), strict=True))
    cond, reference = sessions[contract.PROMPT_EMBEDDING].run(None, prompts)
    latents, _ = noisy(2)
    draw = torch.zeros(2, 1, dtype=torch.int32)
    given = {"LATENT": latents.numpy(), "COND": cond, "REFERENCE": reference, "DRAW": draw.numpy()}
    _, loss, _ = sessions[contract.UNET].run(None, given)
    bank = np.load(repository / contract.UNET / "draws.npz")
    timestep, noise = torch.from_numpy(bank["timesteps"][:1]), torch.from_numpy(bank["noises"][:1])
    alpha = trainer.scheduler.alphas_cumprod[timestep]
    noise = noise.expand(2, -1, -1, -1)
    with torch.no_grad():
        predicted = trainer.average(
            trainer.scheduler.add_noise(latents, noise, timestep), timestep.expand(2), torch.tensor([2, 3])
        )
    error = (predicted - trainer.scheduler.get_velocity(latents, noise, timestep)).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(torch.from_numpy(loss[:, 0]), alpha * error, rtol=1e-4, atol=1e-6)


def test_it_begins_with_blocks_that_change_nothing_and_an_output_of_0() -> None:
    _, _, parts = build(TINY, NAMES, "gray", 0.0, 1.0)
    latents, timesteps = noisy()
    assert not parts(latents, timesteps, torch.arange(3)).any()
    seen: list[Tensor] = []
    blocks = parts.transformer.transformer_blocks
    blocks[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    blocks[-1].register_forward_hook(lambda _m, _i, output: seen.append(output))
    parts(latents, timesteps, torch.arange(3))
    assert torch.equal(*seen)


def test_no_label_is_dropped_behind_the_batch_s_back() -> None:
    """diffusers drops a tenth of the labels while a network trains, by a generator that a resumed run does not repeat."""
    _, _, parts = build(TINY, NAMES, "gray", 0.0, 1.0)
    with torch.no_grad():
        for linear in (parts.transformer.proj_out_1, parts.transformer.proj_out_2):
            nn.init.normal_(linear.weight)
        latents, timesteps = (values.repeat(100, *(1,) * (values.ndim - 1)) for values in noisy(1))
        outputs = parts.train()(latents, timesteps, torch.full((100,), 2))
    torch.testing.assert_close(outputs, outputs[:1].expand_as(outputs))


def cost(config: Architecture) -> tuple[int, int]:
    """Parameters, each once, and operations of one evaluation."""
    vae, _, parts = build(config, NAMES, "gray", 0.0, 1.0)
    shape = (1, vae.latent_channels, vae.latent_size, vae.latent_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        parts(torch.zeros(shape), torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))
    return sum(p.numel() for p in parts.parameters()), counter.get_total_flops()


def test_the_default_costs_what_the_default_unet_costs() -> None:
    unet, dit = cost(ModelConfig()), cost(DitConfig())
    for own, other in zip(dit, unet, strict=True):
        assert own == pytest.approx(other, rel=0.1)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"heads": 3}, "width must divide by 4 and by its 3 heads, 8 does not"),
        ({"width": 6}, "width must divide by 4"),
        ({"image_size": 18}, "images of 18 px do not divide into tokens of 4 px"),
    ],
)
def test_a_shape_that_no_dit_has_is_refused(values: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(TINY, **values)
