"""An engine built in a process of its own, from file to file.

A builder asks for several times the weights at once, and what the exporter had in memory before is not always given
back. The process also gives each build a peak of memory that is its own.
"""

from __future__ import annotations

import importlib
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from client.contract import Model
from export_scripts.engines.builder import BuildSettings, build_engine
from export_scripts.errors import EngineRefused
from selector.processes import begin_work, process_pool, signals_held_back


@dataclass(frozen=True)
class Built:
    """peak_bytes: largest resident memory of the building process."""

    bytes: int
    peak_bytes: int


def build_apart(module: str, model: Model, onnx_file: Path, settings: BuildSettings, path: Path) -> Built:
    """Builds by the Python module of this name and writes the engine to `path`. Raises EngineRefused."""
    # Spawned, not forked: a fork would start with the exporter's memory and its threads' locks.
    with process_pool(1, begin_work, spawned=True) as pool:
        with signals_held_back():
            built = pool.submit(_build, module, model, onnx_file, settings, path)
        try:
            return built.result()
        except BrokenProcessPool as error:
            raise EngineRefused(
                f"{model.name}: {module} ended in the middle of building, mostly for want of memory"
            ) from error


def _build(module: str, model: Model, onnx_file: Path, settings: BuildSettings, path: Path) -> Built:
    engine = build_engine(importlib.import_module(module), model, onnx_file, settings)
    path.write_bytes(engine)
    return Built(memoryview(engine).nbytes, _peak_bytes())


def _peak_bytes() -> int:
    """Largest resident memory of this program; getrusage's would count the exporter too, whose copy it was at first."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
