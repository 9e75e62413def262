"""Engines for an exported repository: preflighted by TensorRT-RTX without a GPU, or built to be served.

The prompt table stays an ONNX graph: a new list of classes then touches no engine.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from export_scripts.engines.builder import (
    ENGINE_LEAVES,
    BuildSettings,
    Profile,
    builder_module,
    capability_name,
    engine_values,
)
from export_scripts.engines.plans import add_plans, this_gpu
from export_scripts.engines.process import build_apart
from export_scripts.repository.exported import Exported, read_exported
from export_scripts.repository.manifest import add_to_manifest, file_record
from export_scripts.settings import ONNXRUNTIME, TENSORRT, TENSORRT_RTX, Settings
from export_scripts.steps import Steps

PREFLIGHT_FOLDER = "preflight"  # Triton looks at numbered folders alone
NEVER_RUN = "built, not executed"


def add_engines(folder: Path, settings: Settings, steps: Steps) -> None:
    """Adds what `settings.runtime` needs to the repository in `folder`. Raises ExportError."""
    if settings.runtime == ONNXRUNTIME:
        return
    exported = read_exported(folder)
    if settings.runtime == TENSORRT_RTX:
        preflight(exported, settings, steps, keep=True)
    else:
        add_plans(exported, builder_module(TENSORRT), this_gpu(), steps, workspace_bytes=settings.workspace_bytes)


def preflight(exported: Exported, settings: Settings, steps: Steps, *, keep: bool) -> None:
    """Builds every engine leaf for every compute capability, ahead of time; nothing is executed.

    It shows that TensorRT takes the graph, its profile and its types. keep: engines stay beside their models, and
    manifests say that they never ran. Raises EngineRefused or RuntimeUnavailable.
    """
    trt = builder_module(TENSORRT_RTX)
    profile = Profile.up_to(exported.max_batch)
    for name in ENGINE_LEAVES:
        records = []
        folder = exported.folder / name
        for capability in settings.capabilities:
            build = BuildSettings(profile, capability, settings.workspace_bytes)
            with TemporaryDirectory(prefix="engine-") as scratch:
                path = Path(scratch) / f"model_{capability_name(capability).lower()}.rtx"
                with steps.step(f"TensorRT-RTX engine for {capability}", name) as note:
                    built = build_apart(trt.__name__, exported.models[name], exported.onnx(name), build, path)
                    note.peak_bytes = built.peak_bytes
                steps.tell(f"{name}: {built.bytes / 1e6:.1f} MB for {capability}, {NEVER_RUN}")
                if keep:
                    kept = folder / PREFLIGHT_FOLDER / path.name
                    kept.parent.mkdir(exist_ok=True)
                    shutil.move(path, kept)
                    made = engine_values(trt, "tensorrt-rtx", capability, profile)
                    records.append(file_record(kept, folder) | made | {"state": NEVER_RUN})
        if keep:
            add_to_manifest(folder, preflight=records)
