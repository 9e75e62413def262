"""config.pbtxt of one model: the shared spec in the words of Triton's own protobuf.

It keeps to what both NVIDIA's onnxruntime backend and this project's Python-based one of the same name document, so that
one repository serves on a GPU host's container and on the embedded server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from client.contract import INDEX_RANGE, Model, Tensor
from client.repository import read_config
from export_scripts.repository.publishing import write_whole

CONFIG_FILE = "config.pbtxt"
ENGINE = "engine."
QUEUE_ROWS = 4096  # more waiting requests are refused
QUEUE_TIMEOUT_US = 60_000_000  # of waiting. Not 0: then a request's own timeout was seen to do nothing

DATA_TYPES = {"UINT8": pb.TYPE_UINT8, "INT32": pb.TYPE_INT32, "FP16": pb.TYPE_FP16, "FP32": pb.TYPE_FP32}


def model_config(
    model: Model,
    *,
    backend: str = "onnxruntime",
    max_batch: int = 16,
    queue_delay_us: int = 1000,
    parameters: Mapping[str, str] | None = None,
) -> pb.ModelConfig:
    """The configuration of `model`; an ensemble if it has steps, else a leaf served by `backend`.

    queue_delay_us: how long a request may wait for company. parameters: key → text, returned by ModelConfig to clients.
    """
    config = pb.ModelConfig(name=model.name, max_batch_size=max_batch)
    config.input.extend(_io(pb.ModelInput, tensor) for tensor in model.inputs)
    config.output.extend(_io(pb.ModelOutput, tensor) for tensor in model.outputs)
    for key, text in sorted((parameters or {}).items()):
        config.parameters[key].string_value = text
    if model.steps:
        _fill_ensemble(config, model)
    else:
        _fill_leaf(config, model, backend)
        _fill_batching(config, queue_delay_us)
    return config


def write_config(config: pb.ModelConfig, folder: Path) -> None:
    """Writes `folder`/config.pbtxt, always the same bytes for the same configuration."""
    write_whole(folder / CONFIG_FILE, text_format.MessageToString(config))


def add_plan(folder: Path, capability: str, file: str, told: Mapping[str, str]) -> None:
    """Has the model in `folder` served by TensorRT on GPUs of `capability` ("8.9") from `file`; other plans stay.

    told: what ModelConfig then says of this engine to every client, under the parameter engine.<capability>.
    """
    config = read_config(folder.parent, folder.name)
    config.backend = "tensorrt"
    config.cc_model_filenames[capability] = file
    config.parameters[f"{ENGINE}{capability}"].string_value = json.dumps(dict(told), sort_keys=True)
    write_config(config, folder)


def add_parameters(folder: Path, parameters: Mapping[str, str]) -> None:
    """Sets parameters of the model in `folder`; all others stay."""
    config = read_config(folder.parent, folder.name)
    for key, text in parameters.items():
        config.parameters[key].string_value = text
    write_config(config, folder)


def _io(kind: type, tensor: Tensor) -> pb.ModelInput | pb.ModelOutput:
    return kind(name=tensor.name, data_type=DATA_TYPES[tensor.datatype], dims=tensor.shape)


def _fill_ensemble(config: pb.ModelConfig, model: Model) -> None:
    """An ensemble has no queue of its own: the policy stands on its composing models."""
    config.platform = "ensemble"
    for step in model.steps:
        filled = config.ensemble_scheduling.step.add(model_name=step.model, model_version=-1)
        filled.input_map.update(step.input_map)
        filled.output_map.update(step.output_map)


def _fill_leaf(config: pb.ModelConfig, model: Model, backend: str) -> None:
    config.backend = backend
    # KIND_AUTO is a GPU where there is one. Without a group the embedded server made two instances of each model.
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_AUTO)
    for name, least, greatest in model.index_ranges:
        config.parameters[f"{INDEX_RANGE}{name}"].string_value = f"{least},{greatest}"
    for batch in sorted({1, config.max_batch_size}):
        warmup = config.model_warmup.add(name=f"{batch}_rows", batch_size=batch, count=1)
        for tensor in model.inputs:
            # Zeros everywhere: random bytes may be NaN in a float and are out of range in an index.
            warmup.inputs[tensor.name].CopyFrom(
                pb.ModelWarmup.Input(data_type=DATA_TYPES[tensor.datatype], dims=tensor.shape, zero_data=True)
            )


def _fill_batching(config: pb.ModelConfig, delay_us: int) -> None:
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = delay_us
    policy = batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = QUEUE_TIMEOUT_US
    policy.allow_timeout_override = True
    policy.max_queue_size = QUEUE_ROWS
