"""manifest.json beside every model: where it came from, what made it and what it has shown.

Owns the manifests' fields. No timestamps: the same export writes the same bytes. Must not know how gates work.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from client.contract import Identity, Model
from export_scripts.gates import GateResult
from export_scripts.onnx_export import OPSET
from export_scripts.publishing import MANIFEST_FILE

FORMAT = 1
TOOLS = ("torch", "diffusers", "onnx", "onnxscript", "onnxruntime")


def write_leaf_manifest(
    folder: Path, model: Model, identity: Identity, onnx_file: Path, sha256: str, gate: GateResult
) -> None:
    """The manifest of a leaf served from `onnx_file`, inside `folder`."""
    values = _common(model, identity) | {
        "kind": "leaf",
        "runtime": "onnxruntime",
        "precision": identity.precision,
        "onnx": {
            "file": onnx_file.relative_to(folder).as_posix(),
            "sha256": sha256,
            "bytes": onnx_file.stat().st_size,
            "opset": OPSET,
        },
        "gates": {
            "provider": "CPUExecutionProvider",
            "tolerance": gate.tolerance,
            "relative_error_by_batch": {str(rows): _short(error) for rows, error in gate.errors.items()},
            "row_invariance_error": _short(gate.row_error),
            "rows_exact": gate.row_error == 0.0,
        },
        "versions": {tool: version(tool) for tool in TOOLS},
    }
    _write(folder, values)


def write_ensemble_manifest(folder: Path, model: Model, identity: Identity) -> None:
    """The manifest of an ensemble: it has no file of its own, only composing models."""
    _write(folder, _common(model, identity) | {"kind": "ensemble", "composing": [step.model for step in model.steps]})


def _common(model: Model, identity: Identity) -> dict[str, Any]:
    return {"format": FORMAT, "model": model.name, "pipeline": identity.pipeline}


def _short(error: float) -> float:
    return float(f"{error:.1e}")


def _write(folder: Path, values: dict[str, Any]) -> None:
    (folder / MANIFEST_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
