from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner

from benchmarks.export import rehearsal
from benchmarks.export.architectures import ARCHITECTURES
from benchmarks.export.rehearsal import main, memory_needed, obstacle
from benchmarks.export.watch import watch
from client.embedded.wheel import embedded_problem
from export_scripts.pipelines.known_fields import PIPELINES

# Published counts: of the UNets those of their files, of DiT with a table of labels in every block.
PARAMETERS = {
    "sd15": 859_520_964,
    "sdxl": 2_567_463_684,
    "dit-xl-2-256": 749_826_464,
    "sd35-medium": 2_243_171_520,
    "pixart-sigma": 610_856_096,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_has_the_published_number_of_parameters(name: str) -> None:
    """Counted without memory for them."""
    assert ARCHITECTURES[name].parameters() == PARAMETERS[name]


def free(monkeypatch: pytest.MonkeyPatch, memory: float, disk: float = 1e15) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=memory, total=memory))
    monkeypatch.setattr(rehearsal.shutil, "disk_usage", lambda folder: SimpleNamespace(free=disk))


def test_a_model_too_large_for_the_memory_is_refused_with_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written, not by the kernel in the middle."""
    free(monkeypatch, 23e9)
    done = CliRunner().invoke(main, ["sdxl", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "about 49 GB of memory (2,567 M parameters in fp16), and 23 are free" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_fits_the_memory_may_lack_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are of the disk then."""
    model = ARCHITECTURES["sd15"]
    free(monkeypatch, memory_needed(model, "fp16") + 1, 10e9)
    assert "17 GB of disk (860 M parameters in fp16), and 10 are free" in str(obstacle("sd15", model, "fp16", tmp_path))
    free(monkeypatch, memory_needed(model, "fp16") + 1)
    assert obstacle("sd15", model, "fp16", tmp_path) is None


def test_a_kind_that_the_exporter_does_not_read_stops_before_its_weights_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by its pipeline's class."""
    free(monkeypatch, 1e15)
    monkeypatch.setattr(rehearsal, "PIPELINES", {k: v for k, v in PIPELINES.items() if k != "DiTPipeline"})
    told = obstacle("dit-xl-2-256", ARCHITECTURES["dit-xl-2-256"], "fp16", tmp_path)
    assert told == "dit-xl-2-256 stops before its export: selector export does not read a DiTPipeline yet"


def test_the_memory_of_a_commands_children_counts(tmp_path: Path) -> None:
    """And is known by a word of their command line."""
    child = "import time; held = bytearray(300 << 20); time.sleep(3)"
    run = f"subprocess.run([sys.executable, '-c', {child!r}, 'stub' + '-of-unet'])"
    script = f"import subprocess, sys; {run}; print('said')"
    done = watch([sys.executable, "-c", script], ("stub-of-unet", "stub-of-vae"))
    assert (done.code, done.stdout) == (0, "said\n")
    assert done.peaks["stub-of-unet"] > 300 << 20
    assert done.peak_bytes > done.peaks["stub-of-unet"]
    assert done.peaks["stub-of-vae"] == 0


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))
@pytest.mark.timeout(600)
def test_a_rehearsal_goes_from_random_weights_to_picks(tmp_path: Path) -> None:
    """A tiny model takes the same way as the full-size ones, TensorRT-RTX included."""
    done = CliRunner().invoke(main, ["tiny-dit", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    for step in ("unet_noise_predictor | gates passed at 16 px", "dift_extractor | TensorRT-RTX engine for 8.9"):
        assert re.search(rf"^\| {re.escape(step)} \| \d+ \| 0\.\d \|$", done.stdout, re.MULTILINE)
    served = (
        r"^\| server \| 24 evaluations of the denoiser, \d\.\d s each \| \d+ \|  \|$"  # 6 images, 2 draws, 2 prompts
    )
    assert re.search(served, done.stdout, re.MULTILINE)
    assert re.search(r"^\| server \| memory of unet_noise_predictor \|  \| 0\.\d \|$", done.stdout, re.MULTILINE)
    assert len(list((tmp_path / "out" / "ipc-1" / "images").glob("*/*.png"))) == 2
