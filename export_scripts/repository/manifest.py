"""manifest.json beside every model: where it came from, what made it and what it has shown.

No timestamps: the same export writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from client.contract import Identity, Model
from export_scripts.graphs.onnx_export import OPSET, Leaf
from export_scripts.repository.publishing import MANIFEST_FILE, write_whole

FORMAT = 1
TOOLS = ("torch", "diffusers", "onnx", "onnxscript", "onnxruntime")


def write_leaf_manifest(
    folder: Path, leaf: Leaf, identity: Identity, files: Sequence[Path], gates: dict[str, Any]
) -> None:
    """The manifest of a leaf served from the ONNX file `files[0]` and the weights beside it, inside `folder`."""
    graph, *weights = files
    onnx: dict[str, Any] = file_record(graph, folder) | {"opset": OPSET}
    if weights:
        onnx["external_data"] = [file_record(path, folder) for path in weights]
    values = _common(leaf.model, identity) | {
        "kind": "leaf",
        "runtime": "onnxruntime",
        "precision": leaf.precision,
        "onnx": onnx,
        "gates": gates,
        "versions": {tool: version(tool) for tool in TOOLS},
    }
    _write(folder, values)


def write_ensemble_manifest(folder: Path, model: Model, identity: Identity) -> None:
    """The manifest of an ensemble: it has no file of its own, only composing models."""
    _write(folder, _common(model, identity) | {"kind": "ensemble", "composing": [step.model for step in model.steps]})


def file_record(path: Path, folder: Path) -> dict[str, Any]:
    """A file's name within `folder`, its SHA-256 and its size."""
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return {"file": path.relative_to(folder).as_posix(), "sha256": sha256, "bytes": path.stat().st_size}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in `folder`."""
    values: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    return values


def add_to_manifest(folder: Path, **values: Any) -> None:
    """Sets fields of the manifest in `folder`."""
    _write(folder, read_manifest(folder) | values)


def _common(model: Model, identity: Identity) -> dict[str, Any]:
    return {"format": FORMAT, "model": model.name, "pipeline": identity.pipeline}


def _write(folder: Path, values: dict[str, Any]) -> None:
    write_whole(folder / MANIFEST_FILE, json.dumps(values, indent=2) + "\n")
