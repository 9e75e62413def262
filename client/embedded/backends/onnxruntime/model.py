"""Serves `1/model.onnx` of a model by the onnxruntime package, as a Python-based Triton backend named `onnxruntime`.

Owns merging the requests that Triton hands over into one ONNX run, checking declared index ranges, and counting runs.
Loaded by tritonserver's stub process alone, in which `triton_python_backend_utils` exists; imports nothing of ours.

Index ranges are parameters of the model's config, `index_range.<INPUT>` = "least,greatest": a Gather takes −1 silently,
and one index beyond the table would fail every request of its batch. The count is the counter
`selector_onnx_runs_total{model="<name>"}` on the server's metrics port.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from providers import CPU, TENSORRT, Providers, engine_folder, problem, providers

CACHE_VARIABLE = "SELECTOR_ENGINE_CACHE"
PROVIDER = "execution_provider"
THREADS_VARIABLE = "SELECTOR_ONNX_THREADS"
RUNS_METRIC = "selector_onnx_runs_total"
RANGE_PREFIX = "index_range."

Arrays = dict[str, NDArray[Any]]


class TritonPythonModel:
    """One instance of one model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """The configuration as it is: every config of ours is complete."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the session. Raises pb_utils.TritonModelException if the graph's tensors are not the config's."""
        config = json.loads(args["model_config"])
        self._inputs = tuple(item["name"] for item in config["input"])
        self._outputs = tuple(item["name"] for item in config["output"])
        self._ranges = _index_ranges(config.get("parameters", {}))
        instances = max(1, sum(group["count"] for group in config.get("instance_group", [])))
        threads = int(os.environ.get(THREADS_VARIABLE, "0"))
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = _session(path, max(1, threads // instances) if threads else 0, _providers(args, config, path))
        _check_names("inputs", self._inputs, [node.name for node in self._session.get_inputs()])
        _check_names("outputs", self._outputs, [node.name for node in self._session.get_outputs()])
        family = pb_utils.MetricFamily(
            name=RUNS_METRIC, description="ONNX runs of a model, warmup included", kind=pb_utils.MetricFamily.COUNTER
        )
        self._metric_family = family  # it must outlive its metric
        self._runs = family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in their order; all valid requests share one ONNX run."""
        responses: list[Any] = [None] * len(requests)
        valid: list[tuple[int, Arrays]] = []
        for position, request in enumerate(requests):
            arrays = {n: pb_utils.get_input_tensor_by_name(request, n).as_numpy() for n in self._inputs}
            problem = self._out_of_range(arrays)
            if problem:
                responses[position] = _error(problem, pb_utils.TritonError.INVALID_ARG)
            else:
                valid.append((position, arrays))
        if valid:
            for (position, _), response in zip(valid, self._answer([a for _, a in valid]), strict=True):
                responses[position] = response
        return responses

    def _out_of_range(self, arrays: Arrays) -> str:
        for name, (least, greatest) in self._ranges.items():
            values = arrays[name]
            wrong = values[(values < least) | (values > greatest)]
            if wrong.size:
                return f"{name} is {int(wrong.flat[0])}, expected {least} to {greatest}"
        return ""

    def _answer(self, requests: Sequence[Arrays]) -> list[Any]:
        sizes = [len(arrays[self._inputs[0]]) for arrays in requests]
        if len(requests) == 1:
            feed = requests[0]
        else:
            feed = {name: np.concatenate([arrays[name] for arrays in requests]) for name in self._inputs}
        self._runs.increment(1)
        try:
            outputs = self._session.run(self._outputs, feed)
        except Exception as error:  # onnxruntime's own classes share no base; Triton reports it as INTERNAL
            message = f"ONNX run of {sum(sizes)} rows failed: {error}"
            return [_error(message, pb_utils.TritonError.INTERNAL) for _ in requests]
        ends = np.cumsum(sizes)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(n, rows[end - size : end]) for n, rows in zip(self._outputs, outputs, strict=True)]
            )
            for size, end in zip(sizes, ends, strict=True)
        ]


def _providers(args: dict[str, str], config: dict[str, Any], path: Path) -> Providers:
    kind, asked = args["model_instance_kind"], config.get("parameters", {}).get(PROVIDER, {}).get("string_value", "")
    half = any(item["data_type"] == "TYPE_FP16" for item in config["input"])
    engines = Path()
    if asked == TENSORRT:
        engines = engine_folder(Path(os.environ[CACHE_VARIABLE]), path)
        engines.mkdir(parents=True, exist_ok=True)
    return providers(kind, int(args["model_instance_device_id"]), asked, half, engines)


def _session(path: Path, threads: int, wanted: Providers) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between runs would take the cores from the other models and from the server itself.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if wanted[0][0] != CPU:
        onnxruntime.preload_dlls()  # CUDA and cuDNN from wheels, where they are installed; else the system's
    session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
    if told := problem(wanted, session.get_providers()):
        raise pb_utils.TritonModelException(told)
    return session


def _index_ranges(parameters: dict[str, dict[str, str]]) -> dict[str, tuple[int, int]]:
    ranges = {}
    for key, value in parameters.items():
        if key.startswith(RANGE_PREFIX):
            least, greatest = value["string_value"].split(",")
            ranges[key.removeprefix(RANGE_PREFIX)] = (int(least), int(greatest))
    return ranges


def _check_names(kind: str, configured: Sequence[str], found: Sequence[str]) -> None:
    if set(configured) != set(found):
        raise pb_utils.TritonModelException(
            f"model.onnx has the {kind} {sorted(found)}, its config.pbtxt declares {sorted(configured)}"
        )


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
