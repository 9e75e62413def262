"""The committed model repository is the one that the spec describes: configs, graphs, checksums, constants."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from client import contract
from client.contract import Geometry, Identity
from client.golden import compare, golden_of, golden_parameters, inputs
from client.repository import read_config
from export_scripts.gates.golden import composed, in_onnx_runtime
from export_scripts.repository.exported import read_exported
from export_scripts.repository.triton_config import model_config

REPOSITORY = Path(__file__).parents[2] / "model_repository"
MODELS = (*contract.LEAVES, *contract.ENSEMBLES)
ONNX_TYPES = {"UINT8": "tensor(uint8)", "INT32": "tensor(int32)", "FP16": "tensor(float16)", "FP32": "tensor(float)"}


@pytest.fixture(scope="module")
def configs() -> dict[str, pb.ModelConfig]:
    return {name: read_config(REPOSITORY, name) for name in MODELS}


@pytest.fixture(scope="module")
def identity(configs: dict[str, pb.ModelConfig]) -> Identity:
    return contract.identity_from_parameters(
        {name: {k: v.string_value for k, v in configs[name].parameters.items()} for name in contract.LEAVES}
    )


@pytest.fixture(scope="module")
def models(configs: dict[str, pb.ModelConfig], identity: Identity) -> dict[str, contract.Model]:
    """The spec of the geometry that four tensors and the identity imply; all other tensors follow from it."""
    latent, feature = configs[contract.VAE_ENCODER].output[0].dims, configs[contract.DIFT].output[0].dims[0]
    prompt = configs[contract.PROMPT_EMBEDDING].output[0].dims
    geometry = Geometry(
        resolution=identity.resolution,
        latent=(latent[0], latent[1], latent[2]),
        prompt=(prompt[0], prompt[1]),
        feature=feature,
        draws=identity.draws,
        classes=len(identity.classes),
    )
    return contract.models(geometry)


@pytest.mark.parametrize("name", MODELS)
def test_a_committed_config_is_what_the_exporter_writes_for_the_spec(
    name: str, configs: dict[str, pb.ModelConfig], models: dict[str, contract.Model], identity: Identity
) -> None:
    """Every field: tensors, index ranges, steps of ensembles, batching, queue, warmup, identity, golden rows."""
    golden = golden_of({key: value.string_value for key, value in configs[name].parameters.items()})
    assert golden is not None
    parameters = contract.identity_parameters(identity).get(name, {}) | golden_parameters(golden)
    max_batch = configs[name].max_batch_size
    assert configs[name] == model_config(models[name], max_batch=max_batch, parameters=parameters)


def test_all_models_take_the_same_batches(configs: dict[str, pb.ModelConfig]) -> None:
    """An ensemble passes its batch on whole."""
    assert len({config.max_batch_size for config in configs.values()}) == 1


@pytest.mark.parametrize("name", contract.LEAVES)
def test_a_committed_graph_has_the_spec_s_tensors_and_a_free_batch(
    name: str, models: dict[str, contract.Model]
) -> None:
    session = onnxruntime.InferenceSession(REPOSITORY / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    for tensors, values in (
        (models[name].inputs, session.get_inputs()),
        (models[name].outputs, session.get_outputs()),
    ):
        assert [(v.name, v.type, tuple(v.shape[1:])) for v in values] == [
            (t.name, ONNX_TYPES[t.datatype], t.shape) for t in tensors
        ]
        assert {v.shape[0] for v in values} == {"batch"}


def test_the_committed_graphs_answer_the_committed_golden_rows() -> None:
    """Of leaves and ensembles, well within what other engines may be off by."""
    exported = read_exported(REPOSITORY)
    graphs = in_onnx_runtime(exported.models, {name: exported.onnx(name) for name in contract.LEAVES}, threads=1)
    given = {name: inputs(exported.golden[name], model) for name, model in exported.models.items()}
    answers = composed(exported.models, given, graphs)
    for name in MODELS:
        assert exported.golden[name].reference == "torch float32"
        assert set(exported.golden[name].outputs) == {tensor.name for tensor in exported.models[name].outputs}
        for one in compare(exported.golden[name], answers[name]):
            assert one.size < one.tolerance / 10, (name, one)


@pytest.mark.parametrize("name", MODELS)
def test_a_manifest_belongs_to_the_committed_files(name: str, identity: Identity) -> None:
    manifest = json.loads((REPOSITORY / name / "manifest.json").read_text())
    assert (manifest["model"], manifest["pipeline"]) == (name, identity.pipeline)
    if name in contract.LEAVES:
        content = (REPOSITORY / name / manifest["onnx"]["file"]).read_bytes()
        assert manifest["onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert manifest["gates"]["rows_exact"]


def test_the_constants_beside_the_models_are_those_of_the_identity(
    identity: Identity, models: dict[str, contract.Model]
) -> None:
    with np.load(REPOSITORY / contract.UNET / "draws.npz") as saved:
        assert tuple(saved["timesteps"]) == identity.timesteps
        assert saved["noises"].shape == (identity.draws, *models[contract.VAE_ENCODER].outputs[0].shape)
    with np.load(REPOSITORY / contract.PROMPT_EMBEDDING / "prompts.npz") as saved:
        assert tuple(saved["prompts"]) == identity.prompts
        assert tuple(saved["classes"]) == identity.classes


def test_the_readme_has_a_row_for_every_model() -> None:
    rows = [line for line in (REPOSITORY / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(MODELS)


def test_nothing_committed_names_a_path_of_a_machine() -> None:
    for path in REPOSITORY.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(root in content for root in (b"/home/", b"/root/", b"/tmp/", b"site-packages")), path
