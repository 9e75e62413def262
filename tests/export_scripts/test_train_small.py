"""The command that trains: it goes on where it stopped, and overwrites nothing of others."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from export_scripts.pipelines.source import load_source
from export_scripts.small_pipeline import ScoringProfile, SmallPipeline
from export_scripts.train_small import main
from export_scripts.training.images import ImageSet
from tests.tiny_dit import write_dit


@pytest.fixture
def data(images: ImageSet, tmp_path: Path) -> str:
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        for i, label in enumerate(images.labels[:8]):
            path = tmp_path / f"{i}.png"
            Image.fromarray(images.pixels[i, 0]).resize((64, 64)).save(path)
            tar.add(path, f"{images.class_names[label]}/{i}.png")
    return str(tmp_path / "data.tar")


def test_the_command_trains_from_a_tar_and_continues_where_it_stopped(data: str, tmp_path: Path) -> None:
    arguments = [data, "--out", str(tmp_path / "pipe"), "--batch", "2", "--channels", "8,8"]
    arguments += ["--image-size", "16"]  # so few cells that every draw of the bank is soon seen
    for steps in ("1", "2"):
        result = CliRunner().invoke(main, [*arguments, "--steps", steps, "--device", "cpu"])
        assert result.exit_code == 0, result.output
    assert SmallPipeline.from_pretrained(tmp_path / "pipe").class_names == ("bright", "dark")
    profile = ScoringProfile.load(tmp_path / "pipe")
    assert profile.rule == "rotating"
    assert sorted(profile.draw_order or ()) == list(range(64))
    assert 1 <= profile.auto_draws <= 64
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


DIT = [
    "--architecture",
    "dit",
    "--image-size",
    "16",
    "--width",
    "8",
    "--heads",
    "2",
    "--blocks",
    "2",
    "--token-cells",
    "1",
]


def test_the_command_trains_a_dit_that_the_exporter_reads(data: str, tmp_path: Path) -> None:
    arguments = [data, "--out", str(tmp_path / "pipe"), "--batch", "2", "--device", "cpu", *DIT]
    for steps in ("1", "2"):
        result = CliRunner().invoke(main, [*arguments, "--steps", steps])
        assert result.exit_code == 0, result.output
    source = load_source(tmp_path / "pipe")
    assert source.classes == ("bright", "dark")
    assert (source.denoiser.kind, source.profile.dift_block, source.profile.rule) == ("DiT", 1, "rotating")
    assert sorted(source.profile.draw_order or ()) == list(range(64))
    result = CliRunner().invoke(main, [*arguments[:3], "--steps", "1"])
    assert result.exit_code == 1
    assert "pipe holds a pipeline of --architecture dit: name another place for one of unet" in result.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--architecture", "dit", "--layers", "2"), "--layers says nothing to --architecture dit"),
        (("--token-cells", "2"), "--token-cells says nothing to --architecture unet"),
        (("--architecture", "dit", "--heads", "3"), "must divide by 4 and by its 3 heads"),
    ],
)
def test_a_flag_of_another_architecture_or_shape_is_refused(flags: tuple[str, ...], says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "--out", str(tmp_path / "pipe"), *flags])
    assert result.exit_code != 0
    assert says in result.output + str(result.exception)


def test_a_dit_that_others_trained_is_not_overwritten(data: str, tmp_path: Path) -> None:
    before = sorted(write_dit(tmp_path / "theirs").rglob("*"))
    result = CliRunner().invoke(main, [data, "--out", str(tmp_path / "theirs"), "--steps", "1", *DIT])
    assert result.exit_code == 1
    assert "theirs holds what no training wrote" in result.output
    assert sorted((tmp_path / "theirs").rglob("*")) == before
