"""Plans of standard TensorRT for the GPU of this machine: built, gated, and merged into a repository.

This runs inside the serving container, once on each kind of GPU: Triton loads plans of its own TensorRT version and of
its own GPU only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export_scripts.engines.builder import (
    ENGINE_LEAVES,
    BuildSettings,
    Profile,
    build_engine,
    capability_name,
    engine_values,
)
from export_scripts.engines.plan_session import open_plan
from export_scripts.errors import RuntimeUnavailable
from export_scripts.gates.golden import check_golden
from export_scripts.gates.graph import GateLoad, GateResult, Session, check_rows, check_values, open_session
from export_scripts.graphs.onnx_export import Leaf
from export_scripts.repository.exported import VERSION_FOLDER, Exported
from export_scripts.repository.manifest import add_to_manifest, file_record, read_manifest
from export_scripts.repository.triton_config import add_plan
from export_scripts.steps import Steps

TIMING_CACHE = "timing.cache"
CONTAINER_VERSION = "TRT_VERSION"  # set by NVIDIA's containers
# Engines choose kernels by batch size, which add up in other orders than ONNX Runtime and than each other.
PLAN_TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}
PLAN_BATCHES = (1, 2, 3)


@dataclass(frozen=True)
class Gpu:
    """Where a plan is built and run. capability: such as "8.9". open_plan: (trt, engine, model) → a session on it."""

    capability: str
    name: str
    open_plan: Callable[..., Session]


def this_gpu() -> Gpu:
    """The first GPU of this machine. Raises RuntimeUnavailable if there is none."""
    if not torch.cuda.is_available():
        raise RuntimeUnavailable("plans are built on the GPU that serves them, and torch sees none here")
    major, minor = torch.cuda.get_device_capability()
    return Gpu(f"{major}.{minor}", torch.cuda.get_device_name(), open_plan)


def add_plans(
    exported: Exported,
    trt: Any,
    gpu: Gpu,
    steps: Steps,
    environment: Mapping[str, str] = os.environ,
    workspace_bytes: int | None = None,
) -> None:
    """Builds a plan per engine leaf, holds it against the ONNX graph, and only then adds all of them.

    Plans for other GPUs stay. Raises EngineRefused, a GateError, or RuntimeUnavailable; the repository is then as it
    was before.
    """
    check_version(trt.__version__, environment)
    with ExitStack() as stack:
        made = [_make(exported, name, trt, gpu, steps, stack, workspace_bytes) for name in ENGINE_LEAVES]
        for plan in made:
            plan.unchecked.replace(plan.path)
            plans = read_manifest(plan.folder).get("plans", {})
            add_to_manifest(plan.folder, runtime="tensorrt", plans=plans | {gpu.capability: plan.record})
            told = {key: plan.record[key] for key in ("builder", "gpu", "sha256")}
            add_plan(plan.folder, gpu.capability, plan.path.name, told)


@dataclass(frozen=True)
class _Made:
    """A plan that has passed its gates, under a name that Triton does not look for. record: for the manifest."""

    folder: Path
    path: Path
    unchecked: Path
    record: dict[str, Any]


def _make(
    exported: Exported, name: str, trt: Any, gpu: Gpu, steps: Steps, stack: ExitStack, workspace_bytes: int | None
) -> _Made:
    folder, model, profile = exported.folder / name, exported.models[name], Profile.up_to(exported.max_batch)
    path = folder / VERSION_FOLDER / f"model_{capability_name(gpu.capability).lower()}.plan"
    unchecked = path.with_suffix(".unchecked")
    stack.callback(unchecked.unlink, missing_ok=True)
    with steps.step(f"plan for {gpu.name} ({gpu.capability})", name):
        build = BuildSettings(profile, workspace_bytes=workspace_bytes, timing_cache=folder / TIMING_CACHE)
        engine = build_engine(trt, model, exported.onnx(name), build)
        unchecked.write_bytes(engine)
    with steps.step("plan held against its graph", name):
        session = gpu.open_plan(trt, engine, model)
        gate = check_plan(exported, name, read_manifest(folder)["precision"], session)
        answers = _golden_answers(exported, name, session)
    made = engine_values(trt, "tensorrt", gpu.capability, profile)
    gates = gate.values(exported.identity.resolution) | {"provider": made["builder"]} | answers
    record = file_record(unchecked, folder) | {"file": path.relative_to(folder).as_posix(), "gpu": gpu.name}
    return _Made(folder, path, unchecked, record | made | {"gates": gates})


def _golden_answers(exported: Exported, name: str, session: Session) -> dict[str, float]:
    """What a manifest says of a plan's answers to golden rows, which every client asks it."""
    if name not in exported.golden:
        return {}
    off = check_golden(exported.models[name], exported.golden[name], session, exported.max_batch)
    return {"golden_rows_error": float(f"{off:.1e}")}


def check_version(version: str, environment: Mapping[str, str]) -> None:
    """Raises RuntimeUnavailable unless the wheel's TensorRT is the serving container's: no other loads its plans."""
    served = environment.get(CONTAINER_VERSION)
    if served is None:
        raise RuntimeUnavailable(
            f"plans are built inside the serving container, which sets {CONTAINER_VERSION}; set it to the TensorRT "
            f"version of the server if this is one in all but name (tensorrt here is {version})"
        )
    if version.split(".")[:3] != served.split(".")[:3]:
        raise RuntimeUnavailable(
            f"the server's TensorRT is {served}, the Python module's is {version}: a plan of one is refused by the other. "
            f"pip install tensorrt=={'.'.join(served.split('.')[:3])}"
        )


def check_plan(exported: Exported, name: str, precision: str, session: Session) -> GateResult:
    """The plan against the ONNX graph in ONNX Runtime at small batches, and its rows against each other at all sizes.

    Open bugs of TensorRT give silently wrong rows at batches above 1 (NVIDIA/TensorRT issues 4813, 4846, 4853).
    """
    model = exported.models[name]
    graph = open_session(name, exported.onnx(name), threads=0)
    inputs = [tensor.name for tensor in model.inputs]

    def reference(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arrays = (tensor.numpy() for tensor in tensors)
        return tuple(torch.from_numpy(a) for a in graph.run(None, dict(zip(inputs, arrays, strict=True))))

    leaf = Leaf(model, nn.Identity(), PLAN_TOLERANCE[precision], reference, precision)
    load = GateLoad(tuple(rows for rows in PLAN_BATCHES if rows <= exported.max_batch))
    errors = {rows: check_values(leaf, session, rows) for rows in load.batches}
    return GateResult(
        errors, check_rows(leaf, session, exported.max_batch, min(load.rows, exported.max_batch)), leaf.tolerance
    )
