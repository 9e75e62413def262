"""What a server tells of itself, as records: its models, its repository index, its counts.

A configuration reads the same whether a server answered with it or a repository holds it as a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2

from client.contract import Step, Tensor


@dataclass(frozen=True)
class ServedModel:
    """What a server says of one of its models. instances: how many batches it can run at once."""

    name: str
    max_batch: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    instances: int
    parameters: Mapping[str, str]
    backend: str = ""
    plans: tuple[str, ...] = ()
    """Compute capabilities that the model has a TensorRT plan for, such as "8.9"."""


@dataclass(frozen=True)
class IndexEntry:
    """A model in the server's repository index. state: READY, UNAVAILABLE, LOADING or UNLOADING, "" if never loaded.

    reason: why it is not ready, in the server's words.
    """

    name: str
    state: str
    reason: str


@dataclass(frozen=True)
class ModelStatistics:
    """What a server counted of one model, all versions, since it was loaded. Times are sums over requests.

    requests: answered ones. rows: of them. executions: runs of the model; rows ÷ executions is the batch achieved.
    """

    name: str
    requests: int
    rows: int
    executions: int
    total_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


def served_model(config: model_config_pb2.ModelConfig) -> ServedModel:
    """A model by its configuration."""
    return ServedModel(
        name=config.name,
        max_batch=config.max_batch_size,
        inputs=tuple(_tensor(item) for item in config.input),
        outputs=tuple(_tensor(item) for item in config.output),
        steps=tuple(
            Step(step.model_name, tuple(sorted(step.input_map.items())), tuple(sorted(step.output_map.items())))
            for step in config.ensemble_scheduling.step
        ),
        instances=max(1, sum(group.count for group in config.instance_group)),
        parameters={key: value.string_value for key, value in config.parameters.items()},
        backend=config.backend or config.platform,
        plans=tuple(sorted(config.cc_model_filenames)),
    )


def model_statistics(item: service_pb2.ModelStatistics) -> ModelStatistics:
    """The counts of a message."""
    counted = item.inference_stats
    return ModelStatistics(
        name=item.name,
        requests=counted.success.count,
        rows=item.inference_count,
        executions=item.execution_count,
        total_ns=counted.success.ns,
        queue_ns=counted.queue.ns,
        compute_input_ns=counted.compute_input.ns,
        compute_infer_ns=counted.compute_infer.ns,
        compute_output_ns=counted.compute_output.ns,
    )


def _tensor(item: Any) -> Tensor:
    datatype = model_config_pb2.DataType.Name(item.data_type).removeprefix("TYPE_")
    return Tensor(item.name, datatype, tuple(item.dims))
