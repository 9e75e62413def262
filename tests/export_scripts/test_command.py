"""The command `selector export`: what its flags ask for, and what they can't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client import contract
from export_scripts import command, export
from export_scripts.errors import PipelineError
from export_scripts.settings import Files, Lora, Settings, Wanted
from selector.errors import UsageError


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command.main, [str(a) for a in arguments])


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--out", tmp_path / "repository")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "PipelineError" in result.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "a PIPELINE is needed"),
        (("tests",), "--out REPO is needed"),
        (("--reuse", "tests", "--out", "x"), "takes no --out"),
        (("--check-only",), "add --runtime tensorrt-rtx"),
        (("tests", "--out", "x", "--dift-block", "last"), "neither 'mid' nor the index"),
        (("tests", "--out", "x", "--lora", "style.safetensors:much"), "ends in no scale"),
        (("tests", "--out", "x", "--lora", "style.safetensors:0"), "must be a number other than 0"),
        (("--reuse", "tests", "--lora", "style.safetensors"), "say which weights of a PIPELINE are read"),
        (
            ("--check-only", "--runtime", "tensorrt-rtx", "--variant", "fp16"),
            "say which weights of a PIPELINE are read",
        ),
    ],
    ids=["nothing", "no place", "two places", "nothing to check", "block", "scale", "no scale", "reused", "checked"],
)
def test_flags_that_do_not_go_together_are_usage_errors(flags: tuple[str, ...], says: str) -> None:
    result = invoke(*flags)
    assert result.exit_code == 2
    assert says in result.output


def test_flags_become_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Settings, Wanted]] = []
    monkeypatch.setattr(
        export, "export_pipeline", lambda _p, _o, settings, wanted, _s: asked.append((settings, wanted))
    )
    (tmp_path / "classes.txt").write_text("a\nb\n")
    flags = "--runtime tensorrt-rtx --precision fp16 --resolution 256 --max-batch 4 --draws 8 --t-min 0.2 --t-max 0.5"
    more = "--dift-timestep 7 --dift-block 2 --compute-capability 8.6 --gate-resolution 64 --no-served-gate --null-prompt x"
    result = invoke(
        tmp_path,
        "--classes",
        tmp_path / "classes.txt",
        "--out",
        tmp_path / "repo",
        *flags.split(),
        *more.split(),
        "--json",
    )
    assert json.loads(result.stdout)["repository"] == str(tmp_path / "repo")
    ((settings, wanted),) = asked
    assert settings == Settings(8, 4, "fp16", "tensorrt-rtx", ("8.6",), 64, None, False)
    assert wanted == Wanted(("a", "b"), "An image of {class}.", "x", 256, 0.2, 0.5, 7, 2)


def test_flags_say_which_files_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A colon in a path that exists is no scale."""
    asked: list[Wanted] = []
    monkeypatch.setattr(export, "export_pipeline", lambda _p, _o, _settings, wanted, _s: asked.append(wanted))
    (tmp_path / "a:1").touch()
    loras = ("--lora", "x.safetensors", "--lora", "y.safetensors:-0.5", "--lora", tmp_path / "a:1")
    files = ("--variant", "fp16", "--config", tmp_path, "--allow-pickle", *loras)
    assert not invoke(tmp_path, "--out", tmp_path / "repo", *files).exit_code
    fused = (Lora(Path("x.safetensors")), Lora(Path("y.safetensors"), -0.5), Lora(tmp_path / "a:1"))
    assert asked == [Wanted(files=Files("fp16", tmp_path, True, fused))]


def test_a_check_without_a_pipeline_preflights_the_built_in_repository(tiny_repository: Path) -> None:
    """The line for CI: three real engines, and not a file more."""
    pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "builtin_repository", lambda: tiny_repository)
        before = sorted(tiny_repository.rglob("*"))
        result = invoke("--check-only", "--runtime", "tensorrt-rtx", "--compute-capability", "8.0")
        assert result.exit_code == 0, result.output
        assert "nothing was written" in result.output
        assert sorted(tiny_repository.rglob("*")) == before


def test_a_learned_prompt_table_takes_no_new_classes(tiny_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a\n")
    result = invoke("--classes", tmp_path / "classes.txt", "--reuse", tiny_repository)
    assert result.exit_code == 1
    assert "learned prompt table" in result.output


def test_a_folder_that_is_no_repository_can_not_be_reused(tmp_path: Path) -> None:
    result = invoke("--reuse", tmp_path, "--check-only", "--runtime", "tensorrt-rtx")
    assert result.exit_code == 1
    assert "no repository of this version's exporter" in result.output


@pytest.mark.parametrize(
    "change",
    [
        {"draws": 12},
        {"max_batch": 0},
        {"precision": "fp8"},
        {"runtime": "openvino"},
        {"gate_resolution": 0},
        {"workspace_gb": float("nan")},
    ],
)
def test_settings_that_no_export_can_have_are_refused(change: dict) -> None:
    with pytest.raises(PipelineError):
        Settings(**change)


@pytest.mark.parametrize("resolution", [0, -512])
def test_a_resolution_that_no_image_has_is_refused(resolution: int) -> None:
    with pytest.raises(PipelineError, match=f"from 8 to 16384, not {resolution}"):
        Wanted(resolution=resolution)


def test_a_place_below_a_file_ends_in_one_line(tiny_pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = invoke(tiny_pipeline, "--out", tmp_path / "file" / "repository").exception
    assert isinstance(refused, UsageError)
    assert "--out" in str(refused)
    assert "\n" not in str(refused)


def test_ids_names_and_the_wish_to_cut_reach_the_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Wanted] = []
    monkeypatch.setattr(export, "export_pipeline", lambda _p, _o, _settings, wanted, _s: asked.append(wanted))
    (tmp_path / "classes.txt").write_text("n1\tcrane\nn2\tcrane\n")
    assert not invoke(
        tmp_path, "--classes", tmp_path / "classes.txt", "--out", tmp_path / "repo", "--truncate"
    ).exit_code
    assert asked == [Wanted(("n1", "n2"), class_names=("crane", "crane"), truncate=True)]


def test_the_spec_has_what_the_engines_are_built_for() -> None:
    from export_scripts.engines.builder import ENGINE_LEAVES

    assert set(contract.LEAVES) - set(ENGINE_LEAVES) == {contract.PROMPT_EMBEDDING}
