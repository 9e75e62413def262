"""An exported repository: complete, recomputable from its own files, and absent after a failed gate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from client import contract
from client.repository import read_config
from export_scripts import export
from export_scripts.errors import PipelineError, ValueMismatch
from export_scripts.export import export_pipeline
from export_scripts.graphs.leaves import Leaves, Networks, make_leaves
from export_scripts.graphs.onnx_export import Leaf
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Settings
from tests.tiny_pipeline import CLASSES, DRAWS


def run(folder: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_the_repository_has_the_seven_models_each_with_config_version_and_manifest(tiny_repository: Path) -> None:
    assert {path.name for path in tiny_repository.iterdir()} == {*contract.LEAVES, *contract.ENSEMBLES, "README.md"}
    for name in (*contract.LEAVES, *contract.ENSEMBLES):
        assert list((tiny_repository / name / "1").iterdir()), "git would drop an empty version folder"
        assert read_config(tiny_repository, name).name == name
        assert json.loads((tiny_repository / name / "manifest.json").read_text())["model"] == name
        assert f"`{name}`" in (tiny_repository / "README.md").read_text()


def test_the_configs_carry_the_pipeline_s_identity(tiny_pipeline: Path, tiny_repository: Path) -> None:
    source = load_source(tiny_pipeline)
    identity = contract.identity_from_parameters(
        {
            name: {key: value.string_value for key, value in read_config(tiny_repository, name).parameters.items()}
            for name in contract.LEAVES
        }
    )
    assert identity == make_leaves(source, DRAWS).identity
    assert identity.pipeline == source.digest
    assert identity.classes == CLASSES
    assert (identity.dift, identity.rule, identity.prior_weight) == ("mid@161", "rotating-weighted-brightness", 0.25)
    assert set(identity.timestep_weights) == {1.0, 2.0}
    assert len(identity.timesteps) == identity.draws == DRAWS
    assert identity.centring == "none"
    moving = replace(source, profile=replace(source.profile, centring="contrast"))
    assert make_leaves(moving, DRAWS).identity == replace(identity, centring="contrast")


def test_a_loss_can_be_recomputed_from_the_repository_s_own_constants(
    tiny_pipeline: Path, tiny_repository: Path
) -> None:
    source = load_source(tiny_pipeline)
    latent, draw = np.random.default_rng(0).standard_normal((1, 16, 8, 8), dtype=np.float32), 5
    with np.load(tiny_repository / contract.PROMPT_EMBEDDING / "prompts.npz") as saved:
        assert tuple(saved["prompts"]) == ("", *CLASSES)
        cond, reference = saved["table"][2:3], saved["table"][0:1]
    with np.load(tiny_repository / contract.UNET / "draws.npz") as saved:
        timestep, noise = torch.tensor([saved["timesteps"][draw]]), torch.from_numpy(saved["noises"][draw : draw + 1])
    noisy = source.denoiser.schedule.scheduler.add_noise(torch.from_numpy(latent), noise, timestep)
    target = source.denoiser.schedule.scheduler.get_velocity(torch.from_numpy(latent), noise, timestep)
    with torch.no_grad():
        velocity = source.denoiser.network(noisy, timestep, encoder_hidden_states=torch.from_numpy(cond)).sample
    # The noise's squared error is ᾱ times the velocity's.
    expected = float(source.denoiser.schedule.scheduler.alphas_cumprod[timestep] * (velocity - target).square().mean())
    _, loss, _ = run(
        tiny_repository / contract.UNET,
        LATENT=latent,
        COND=cond,
        REFERENCE=reference,
        DRAW=np.array([[draw]], np.int32),
    )
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_manifests_name_the_file_s_hash_and_what_the_gates_saw(tiny_repository: Path) -> None:
    for name in contract.LEAVES:
        manifest = json.loads((tiny_repository / name / "manifest.json").read_text())
        content = (tiny_repository / name / manifest["onnx"]["file"]).read_bytes()
        assert manifest["onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
        gates = manifest["gates"]
        assert set(gates["relative_error_by_batch"]) == {"1", "2", "3", "7", "16"}
        assert max(gates["relative_error_by_batch"].values()) <= gates["tolerance"]
        assert gates["rows_exact"], f"{name}: a score would depend on how rows were batched"


def test_a_refused_export_leaves_no_repository(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first leaf is held against a wrong reference."""

    def wrong(source: SourcePipeline, draws: int, networks: Networks) -> Leaves:
        leaves = make_leaves(source, draws, networks)
        good = leaves.by_name[contract.VAE_ENCODER]
        leaves.by_name[contract.VAE_ENCODER] = Leaf(
            good.model, good.module, good.tolerance, lambda image: good.module(image) + 1
        )
        return leaves

    monkeypatch.setattr(export, "make_leaves", wrong)
    with pytest.raises(ValueMismatch, match=contract.VAE_ENCODER):
        export_pipeline(tiny_pipeline, tmp_path / "repository", Settings(draws=DRAWS, served_gate=False))
    assert not list(tmp_path.iterdir())


def test_an_impossible_bank_is_refused_before_any_work(tiny_pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="power of two"):
        export_pipeline(tiny_pipeline, tmp_path / "repository", Settings(draws=12))
    assert not list(tmp_path.iterdir())
