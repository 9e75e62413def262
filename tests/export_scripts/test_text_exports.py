"""Stable Diffusion 2.x and XL of reduced width through the whole exporter, in float16, with the gates of any pipeline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from client import contract
from export_scripts.errors import HalfOverflow
from export_scripts.export import export_pipeline
from export_scripts.gates.graph import GateLoad, check
from export_scripts.graphs.leaves import make_leaves, make_networks
from export_scripts.graphs.onnx_export import random_inputs
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.repository.exported import read_exported
from export_scripts.settings import FP16, FP32, Settings, Wanted
from export_scripts.steps import Steps
from tests.tiny_text_pipeline import TOKENS, write_sd2, write_sdxl

WANTED = Wanted(("bee", "cup", "kite"), dift_block="mid", dift_timestep=261)
SETTINGS = Settings(draws=8, max_batch=4, precision=FP16, served_gate=False)


@pytest.fixture(scope="module")
def sdxl_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("sdxl") / "pipeline")


@pytest.fixture(scope="module")
def sdxl(sdxl_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    repository = tmp_path_factory.mktemp("sdxl") / "repository"
    export_pipeline(sdxl_pipeline, repository, SETTINGS, WANTED, Steps(say=False))
    return repository


@pytest.fixture(scope="module")
def sd2_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd2(tmp_path_factory.mktemp("sd2") / "pipeline")


@pytest.fixture(scope="module")
def sd2(sd2_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    repository = tmp_path_factory.mktemp("sd2") / "repository"
    export_pipeline(sd2_pipeline, repository, SETTINGS, WANTED, Steps(say=False))
    return repository


def manifest(repository: Path, name: str) -> dict:
    return json.loads((repository / name / "manifest.json").read_text())


def operators(path: Path, *, output_type: int) -> set[str]:
    """Operators whose first output has this type, by shape inference."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    return {node.op_type for node in graph.node if types.get(node.output[0]) == output_type}


@pytest.mark.parametrize("name", contract.LEAVES)
@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
def test_every_leaf_has_passed_its_gates_at_every_batch_size(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    gates = manifest(request.getfixturevalue(kind), name)["gates"]
    assert {"1", "2", "3", "4"} <= set(gates["relative_error_by_batch"])
    assert max(gates["relative_error_by_batch"].values()) <= gates["tolerance"] <= 1e-2
    assert gates["row_invariance_error"] <= 1e-3


@pytest.mark.slow  # a second export of each architecture
@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
def test_every_leaf_passes_the_same_gates_in_float32(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pipeline = request.getfixturevalue(f"{kind}_pipeline")
    export_pipeline(pipeline, tmp_path / "repository", replace(SETTINGS, precision=FP32), WANTED, Steps(say=False))
    for name in contract.LEAVES:
        gates = manifest(tmp_path / "repository", name)["gates"]
        assert max(gates["relative_error_by_batch"].values()) <= gates["tolerance"] <= 1e-4
        assert gates["row_invariance_error"] <= 1e-4


@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
def test_the_windows_chosen_in_float16_are_those_of_float32(kind: str, request: pytest.FixtureRequest) -> None:
    gate = manifest(request.getfixturevalue(kind), contract.UNET)["precision_gate"]
    assert gate["window_correlation"]["mean"] >= gate["window_correlation"]["least"] >= 0.98
    assert gate["window_overlap"]["mean"] >= gate["window_overlap"]["least"] >= 0.8


def test_sdxl_has_a_second_condition_in_the_spec_s_tensors(sdxl: Path) -> None:
    exported = read_exported(sdxl)
    assert (exported.geometry.pooled, exported.geometry.prompt, exported.geometry.cond_datatype) == (
        12,
        (TOKENS, 16),
        "FP16",
    )
    names = [tensor.name for tensor in exported.models[contract.UNET].inputs]
    assert names == ["LATENT", "COND", "COND_POOLED", "REFERENCE", "REFERENCE_POOLED", "DRAW"]


def test_sdxl_s_vae_stays_in_float32_and_an_allowed_one_becomes_float16(sdxl: Path, sd2: Path) -> None:
    """Its makers say `force_upcast`: in float16 it overflows to NaN."""
    assert manifest(sdxl, contract.VAE_ENCODER)["precision"] == "fp32"
    assert manifest(sdxl, contract.UNET)["precision"] == "fp16"
    assert manifest(sd2, contract.VAE_ENCODER)["precision"] == "fp16"
    assert "largest_value" in manifest(sd2, contract.VAE_ENCODER)["gates"]


def test_the_graph_says_what_runs_in_which_type(sd2: Path) -> None:
    """Convolutions in float16; norms, this pipeline's attention and the reduction of the loss in float32."""
    path = sd2 / contract.UNET / "1" / "model.onnx"
    half, full = (
        operators(path, output_type=onnx.TensorProto.FLOAT16),
        operators(path, output_type=onnx.TensorProto.FLOAT),
    )
    assert "Conv" in half
    assert not {"InstanceNormalization", "LayerNormalization", "Softmax", "ReduceMean"} & half
    assert {"InstanceNormalization", "LayerNormalization", "Softmax", "ReduceMean"} <= full


def plain_losses(
    source: SourcePipeline, arrays: dict[str, np.ndarray], bank_noise: np.ndarray, step: int
) -> list[float]:
    """‖ε̂ - ε‖² per condition, by diffusers alone: noise added and clean latents estimated by its scheduler."""
    scheduler, noise = source.denoiser.schedule.scheduler, torch.from_numpy(bank_noise)[None]
    latent, timestep = torch.from_numpy(arrays["LATENT"]), torch.tensor([step])
    noisy = scheduler.add_noise(latent, noise, timestep)
    losses = []
    for prefix in ("COND", "REFERENCE"):
        added = {}
        if source.pooled is not None:
            size = float(source.resolution)
            times = torch.tensor([[size, size, 0.0, 0.0, size, size]])
            added = {"text_embeds": torch.from_numpy(arrays[f"{prefix}_POOLED"]), "time_ids": times}
        tokens = torch.from_numpy(arrays[prefix])
        output = source.denoiser.network(noisy, timestep, encoder_hidden_states=tokens, added_cond_kwargs=added).sample
        clean = scheduler.step(output, step, noisy).pred_original_sample.double()
        alpha = scheduler.alphas_cumprod[step].double()
        losses.append(float((((noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()) - noise).square().mean()))
    return losses


@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
def test_the_loss_in_float32_is_the_plain_definition_s(kind: str, request: pytest.FixtureRequest) -> None:
    """v-prediction and pooled conditions included; relative error at most 1e-4."""
    source = load_source(request.getfixturevalue(f"{kind}_pipeline"), WANTED)
    leaves = make_leaves(source, 8)
    leaf = leaves.by_name[contract.UNET]
    for draw in (0, 5):
        arrays = random_inputs(leaf.model, 1, np.random.default_rng(draw)) | {"DRAW": np.array([[draw]], np.int32)}
        with torch.no_grad():
            _, *got = leaf.module(*(torch.from_numpy(a) for a in arrays.values()))
            expected = plain_losses(source, arrays, leaves.bank.noises[draw], int(leaves.bank.timesteps[draw]))
        assert [float(loss) for loss in got] == pytest.approx(expected, rel=1e-4)


def test_sdxl_s_features_are_what_a_forward_hook_sees(sdxl_pipeline: Path, sdxl: Path) -> None:
    """In float32 within 1e-4, and what the exported float16 graph answers within its tolerance."""
    source = load_source(sdxl_pipeline, WANTED)
    leaves = make_leaves(source, 8)
    leaf = leaves.by_name[contract.DIFT]
    arrays = random_inputs(leaf.model, 3, np.random.default_rng(0))
    seen: list[Tensor] = []
    handle = source.denoiser.network.mid_block.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output)
    )
    latent, tokens, pooled = (torch.from_numpy(a) for a in arrays.values())
    timesteps = torch.full((3,), 261)
    size = float(source.resolution)
    with torch.no_grad():
        noisy = source.denoiser.schedule.scheduler.add_noise(
            latent, torch.from_numpy(leaves.dift_noise).expand(3, -1, -1, -1), timesteps
        )
        times = torch.tensor([[size, size, 0.0, 0.0, size, size]] * 3)
        added = {"text_embeds": pooled, "time_ids": times}
        source.denoiser.network(noisy, timesteps, encoder_hidden_states=tokens, added_cond_kwargs=added)
        handle.remove()
        features = leaf.module(latent, tokens, pooled)
    mean = seen[0].mean(dim=(2, 3))
    expected = mean / mean.norm(dim=1, keepdim=True)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    session = onnxruntime.InferenceSession(
        sdxl / contract.DIFT / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    half = {name: a.astype(np.float16) if name.startswith("COND") else a for name, a in arrays.items()}
    np.testing.assert_allclose(session.run(None, half)[0], expected, rtol=0, atol=1e-2)


def test_a_vae_that_overflows_float16_is_refused_by_name(sd2_pipeline: Path, sd2: Path) -> None:
    """One whose makers allow float16, wrongly."""
    source = load_source(sd2_pipeline, WANTED)
    with torch.no_grad():
        source.encoder.encoder.conv_in.weight *= 1e6
    own = make_leaves(source, 8, make_networks(source, FP16)).by_name[contract.VAE_ENCODER]
    with pytest.raises(HalfOverflow, match=r"vae_encoder: encoder\..* reaches"):
        check(own, sd2 / contract.VAE_ENCODER / "1" / "model.onnx", GateLoad(batches=(2,)))
