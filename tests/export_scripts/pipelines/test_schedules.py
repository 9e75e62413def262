"""Schedules as pipelines bring them: signal and noise at every timestep are those of diffusers' own scheduler, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from numpy.typing import NDArray

from client import contract
from export_scripts.errors import PipelineError
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.denoiser import Schedule
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_sd3 import write_sd3
from tests.tiny_text_pipeline import write_sd1

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = ("leading", "trailing", "linspace")


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture
def copy(sd1: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd1, tmp_path / "copy")


def with_scheduler(folder: Path, scheduler: Any) -> Path:
    shutil.rmtree(folder / "scheduler")
    scheduler.save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", type(scheduler).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def read(folder: Path, **more: Any) -> Schedule:
    return load_source(folder, Wanted(("bee", "cup"), **{"dift_block": "mid", **more})).denoiser.schedule


def refusal(folder: Path, **more: Any) -> str:
    with pytest.raises(PipelineError) as error:
        read(folder, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def betas(config: dict[str, Any]) -> NDArray[np.float64]:
    """Written out, in float64."""
    low, high, steps = config.get("beta_start", 0.0001), config.get("beta_end", 0.02), 1000
    match config.get("beta_schedule", "linear"):
        case "scaled_linear":
            return np.linspace(low**0.5, high**0.5, steps) ** 2
        case "squaredcos_cap_v2":
            bar = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
            return np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    return np.linspace(low, high, steps)


def expected_signal(config: dict[str, Any]) -> NDArray[np.float64]:
    """√ᾱ; with a zero terminal signal as in arXiv 2305.08891, algorithm 1."""
    signal = np.sqrt(np.cumprod(1 - betas(config)))
    if config.get("rescale_betas_zero_snr"):
        first, last = signal[0], signal[-1]
        signal = (signal - last) * first / (first - last)
    return signal


CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDPM, linear": ("DDPMScheduler", {}),
    "DDIM of Stable Diffusion": ("DDIMScheduler", SD),
    "cosine": ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
    "zero terminal signal": ("DDIMScheduler", SD | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
    "the same by Euler": (
        "EulerDiscreteScheduler",
        SD | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ),
    "DPM-Solver, zero terminal signal": (
        "DPMSolverMultistepScheduler",
        SD | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ),
    "UniPC": ("UniPCMultistepScheduler", SD | {"use_karras_sigmas": True}),
}


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", CONFIGS)
def test_signal_and_noise_are_the_written_definition_s_at_every_timestep(name: str, spacing: str, copy: Path) -> None:
    """Whatever timesteps a sampler visits: the spacing says nothing about training."""
    kind, config = CONFIGS[name]
    scheduler = getattr(diffusers, kind)(**config, timestep_spacing=spacing)
    schedule, signal = read(with_scheduler(copy, scheduler)), expected_signal(config)
    assert schedule.prediction == config.get("prediction_type", "epsilon")
    np.testing.assert_array_equal(schedule.told, np.arange(1000))
    np.testing.assert_allclose(schedule.signal, signal, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(schedule.noise, np.sqrt(1 - signal**2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, (kind, _) in CONFIGS.items() if "DD" in kind])
def test_the_saved_scheduler_itself_noises_so_at_every_timestep(name: str, copy: Path) -> None:
    kind, config = CONFIGS[name]
    scheduler = getattr(diffusers, kind)(**config)
    schedule = read(with_scheduler(copy, scheduler))
    one, none, steps = torch.ones(1000, 1), torch.zeros(1000, 1), torch.arange(1000)
    torch.testing.assert_close(schedule.signal, scheduler.add_noise(one, none, steps)[:, 0], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(schedule.noise, scheduler.add_noise(none, one, steps)[:, 0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"])
def test_a_sampler_by_sigmas_has_the_same_noise_over_signal_at_each_timestep_that_it_visits(
    kind: str, spacing: str, copy: Path
) -> None:
    scheduler = getattr(diffusers, kind)(**SD, timestep_spacing=spacing)
    schedule = read(with_scheduler(copy, scheduler))
    scheduler.set_timesteps(20)
    ratio = (schedule.noise / schedule.signal).numpy()
    for timestep, sigma in zip(scheduler.timesteps.numpy(), scheduler.sigmas.numpy()[:-1], strict=True):
        assert np.interp(timestep, np.arange(1000), ratio) == pytest.approx(sigma, rel=2e-3)


def test_betas_of_its_own_are_followed(copy: Path) -> None:
    own = np.linspace(0.001, 0.01, 1000)
    schedule = read(with_scheduler(copy, diffusers.DDPMScheduler(trained_betas=own.tolist())))
    np.testing.assert_allclose(schedule.signal, np.sqrt(np.cumprod(1 - own)), rtol=1e-4)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_scores_are_finite_where_the_terminal_signal_is_zero(prediction: str, copy: Path) -> None:
    """The band may reach the last timestep, whose noisy latent is noise alone."""
    scheduler = diffusers.DDIMScheduler(**SD, rescale_betas_zero_snr=True, prediction_type=prediction)
    folder = with_scheduler(copy, scheduler)
    leaves = make_leaves(load_source(folder, Wanted(("bee", "cup"), dift_block="mid", t_min=0.9, t_max=1.0)), 64)
    last = int(np.argmax(leaves.bank.timesteps))
    assert leaves.bank.timesteps[last] >= 990
    with torch.no_grad():
        outputs = leaves.by_name[contract.UNET].module(
            torch.randn(2, 4, 16, 16), torch.randn(2, 24, 8), torch.randn(2, 24, 8), torch.full((2, 1), last)
        )
    assert all(torch.isfinite(output).all() for output in outputs)


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd3(tmp_path_factory.mktemp("sd3"))


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.5])
def test_a_flow_s_sigma_is_the_shifted_one_at_every_timestep(shift: float, sd3: Path, tmp_path: Path) -> None:
    """σ = s u / (1 + (s - 1) u) at u = 0.001, 0.002, … 1; the network is told 1000 σ."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    schedule = read(with_scheduler(shutil.copytree(sd3, tmp_path / "copy"), scheduler), dift_block=None)
    u = np.arange(1, 1001) / 1000
    sigma = shift * u / (1 + (shift - 1) * u)
    np.testing.assert_allclose(schedule.noise, sigma, rtol=1e-5)
    np.testing.assert_allclose(schedule.signal, 1 - sigma, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(schedule.told, 1000 * sigma, rtol=1e-5)
    one, none = torch.ones(1, 1), torch.zeros(1, 1)
    for step in (0, 1, 499, 998, 999):
        told = schedule.told[step : step + 1]
        assert float(scheduler.scale_noise(one, told, none)) == pytest.approx(float(schedule.signal[step]), abs=1e-6)
        assert float(scheduler.scale_noise(none, told, one)) == pytest.approx(float(schedule.noise[step]), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"use_dynamic_shifting": True},
            "use_dynamic_shifting is true, which is not supported: σ would depend on the size",
        ),
        ({"shift_terminal": 0.1}, "shift_terminal is 0.1, which is not supported: σ of training is not stretched"),
        ({"invert_sigmas": True}, "invert_sigmas is true, which is not supported: σ would be that of the image"),
    ],
)
def test_a_flow_that_is_shifted_otherwise_is_refused_by_its_field(
    config: dict[str, Any], says: str, sd3: Path, tmp_path: Path
) -> None:
    folder = with_scheduler(shutil.copytree(sd3, tmp_path / "copy"), FlowMatchEulerDiscreteScheduler(**config))
    assert says in refusal(folder)


@pytest.mark.parametrize("kind", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_edm_is_refused_by_name(kind: str, copy: Path) -> None:
    said = refusal(with_scheduler(copy, getattr(diffusers, kind)()))
    assert f"the scheduler is a {kind}: its UNet takes inputs scaled by σ" in said
