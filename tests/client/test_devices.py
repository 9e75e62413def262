"""Where models run: what people write, what is in the way, and what is told to the server. No GPU is needed, and none was had."""

from __future__ import annotations

import importlib.util
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from client import contract
from client.embedded import wheel
from client.embedded.devices import CACHE_VARIABLE, Device, device_problem, environment, mixed_installation, read_device
from client.embedded.overlay import ON_GPUS, PROVIDER, write_overlay
from tests.toy_repository import write_toy_repository

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def _providers_of_the_backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("providers", wheel.OWN_BACKENDS / "onnxruntime" / "providers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


backend = _providers_of_the_backend()


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", Device()),
        ("cuda", Device("cuda")),
        ("cuda:1", Device("cuda", (1,))),
        ("tensorrt:0,2", Device("tensorrt", (0, 2))),
    ],
)
def test_a_device_is_read_as_it_is_written(text: str, device: Device) -> None:
    assert read_device(text) == device
    assert str(device) == text


@pytest.mark.parametrize("text", ["", "gpu", "cpu:0", "cuda:", "cuda:a", "cuda:-1", "CUDA", "cuda:0,", "cuda:0 "])
def test_what_is_no_device_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="expected cpu, cuda"):
        read_device(text)


def test_a_gpu_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        read_device("cuda:1,1")


def test_a_provider_that_is_not_there_is_refused_with_those_that_are_and_the_remedy() -> None:
    told = device_problem(Device("cuda", (0,)), available=("AzureExecutionProvider", CPU))
    assert told is not None
    assert all(words in told for words in ("--device cuda:0", CUDA, "Azure", "make gpu-env"))
    assert device_problem(Device("cuda"), available=(CUDA, CPU)) is None
    assert TENSORRT in str(device_problem(Device("tensorrt"), available=(CUDA, CPU)))
    assert device_problem(Device(), available=()) is None


@pytest.mark.parametrize("other", ["onnxruntime-gpu", "onnxruntime_gpu", "onnxruntime-openvino", "ort-nightly"])
def test_two_distributions_of_onnx_runtime_are_named(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = namedtuple("Installed", "metadata")
    names = ("numpy", "onnxruntime", "onnxruntime-extensions", other)
    monkeypatch.setattr(metadata, "distributions", lambda: [installed({"Name": name}) for name in names])
    told = mixed_installation()
    assert told is not None
    assert other.replace("_", "-") in told
    assert "extensions" not in told
    assert device_problem(Device("cuda"), available=(CUDA,)) == told


def test_one_distribution_is_what_this_environment_has() -> None:
    assert mixed_installation() is None


@pytest.mark.parametrize(("device", "gpus"), [(Device("cuda"), []), (Device("tensorrt", (0, 2)), [0, 2])], ids=str)
def test_every_leaf_but_the_prompt_table_has_an_instance_on_each_gpu(
    device: Device, gpus: list[int], tmp_path: Path
) -> None:
    repository = write_toy_repository(tmp_path / "toy")
    on_gpus, on_cores = tmp_path / "gpus", tmp_path / "cores"
    write_overlay(repository, on_gpus, threads=4, device=device)
    write_overlay(repository, on_cores, threads=4)
    for name in (*contract.LEAVES, *contract.ENSEMBLES):
        config, plain = (
            text_format.Parse((folder / name / "config.pbtxt").read_text(), pb.ModelConfig())
            for folder in (on_gpus, on_cores)
        )
        if name in ON_GPUS:
            (group,) = config.instance_group
            assert (group.count, group.kind, list(group.gpus)) == (1, pb.ModelInstanceGroup.KIND_GPU, gpus)
            assert config.parameters[PROVIDER].string_value == device.provider
            del config.parameters[PROVIDER]
            config.ClearField("instance_group")
            plain.ClearField("instance_group")
        assert config == plain, name


def test_float32_on_a_gpu_is_float32_and_engines_are_kept_in_the_user_s_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = environment(Device("tensorrt"))
    assert told["NVIDIA_TF32_OVERRIDE"] == "0"
    assert Path(told[CACHE_VARIABLE]).is_relative_to(tmp_path)
    assert environment(Device()) == {}


def test_an_instance_on_a_gpu_asks_its_own_gpu_first_and_one_on_cores_no_other() -> None:
    assert backend.providers("CPU", 0, CUDA, False, Path()) == [(CPU, {})]
    (first, options), last = backend.providers("GPU", 3, CUDA, False, Path())
    assert (first, options["device_id"], options["use_tf32"], last) == (CUDA, "3", "0", (CPU, {}))
    (first, options), second, _ = backend.providers("GPU", 1, TENSORRT, True, Path("/engines"))
    assert (first, second[0], second[1]["device_id"]) == (TENSORRT, CUDA, "1")
    assert (options["trt_fp16_enable"], options["trt_engine_cache_path"]) == ("1", "/engines")
    assert backend.providers("GPU", 1, TENSORRT, False, Path())[0][1]["trt_fp16_enable"] == "0"


def test_a_session_that_fell_back_to_the_cores_is_no_session_on_a_gpu() -> None:
    wanted = backend.providers("GPU", 0, CUDA, False, Path())
    assert backend.problem(wanted, [CUDA, CPU]) == ""
    assert CUDA in backend.problem(wanted, [CPU])
    assert backend.problem(backend.providers("CPU", 0, "", False, Path()), [CPU]) == ""


def test_engines_of_another_graph_or_another_gpu_lie_elsewhere(tmp_path: Path) -> None:
    graph, gpus = tmp_path / "model.onnx", tmp_path / "gpus"
    graph.write_bytes(b"graph")
    for number, model in (("0", "NVIDIA H100"), ("1", "NVIDIA H100")):
        (gpus / number).mkdir(parents=True)
        (gpus / number / "information").write_text(f"Model: \t {model}\nIRQ: 5\n")
    folders = [backend.engine_folder(tmp_path, graph, gpus)]
    assert folders[0].name.endswith("-NVIDIA-H100")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    folders.append(backend.engine_folder(tmp_path, graph, gpus))
    (gpus / "1" / "information").write_text("Model: NVIDIA L4\n")
    folders.append(backend.engine_folder(tmp_path, graph, gpus))
    folders.append(backend.engine_folder(tmp_path, graph, tmp_path / "none"))
    assert len(set(folders)) == 4
