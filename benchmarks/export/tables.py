"""The tables of a rehearsal, in Markdown: what each step took, and what each leaf's files and gates are.

Owns their columns. Must not know how the steps are run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.export.watch import Watched
from client import contract
from export_scripts.engines.engines import PREFLIGHT_FOLDER
from export_scripts.repository.manifest import read_manifest

GIGA, MEGA = 1e9, 1e6


def steps_table(written: Watched, exported: Watched, ran: Watched, manifest: Mapping[str, Any]) -> str:
    """A row of every step: seconds, and the peak of memory where it is known.

    written, exported, ran: the three commands. manifest: that of the run's picks.
    """
    steps = json.loads(exported.stdout)["steps"]
    rows = [("pipeline", "random weights written", written.seconds, written.peak_bytes)]
    rows += [(step["model"] or "repository", step["what"], step["seconds"], step["peak_bytes"]) for step in steps]
    rows.append(("export", "all of it", exported.seconds, exported.peak_bytes))
    seconds, evaluations, images = manifest["seconds"], manifest["unet_rows"], manifest["counts"]["scored"]
    rows.append(("server", "started: weights loaded, every model run once", seconds["server start"], 0))
    each = f"{seconds['typicality'] / evaluations:.1f} s each"
    rows.append(("server", f"{evaluations} evaluations of the denoiser, {each}", seconds["typicality"], 0))
    rows.append(("server", f"features of {images} patches", seconds["features"], 0))
    rows += [("server", f"memory of {name}", None, ran.peaks[name]) for name in contract.LEAVES]
    rows.append(("selector run", "all of it, to picks", ran.seconds, ran.peak_bytes))
    told = [f"| {model} | {what} | {_number(s, 1, 0)} | {_number(peak, GIGA, 1)} |" for model, what, s, peak in rows]
    return "\n".join(["| Model | Step | s | peak GB |", "|---|---|---|---|", *told])


def files_table(repository: Path) -> str:
    """A row of every leaf: its files, and the largest errors that its gates saw."""
    rows = ["| Model | ONNX: MB | Engine: MB | Largest error | Rows: largest change |", "|---|---|---|---|---|"]
    for name in contract.LEAVES:
        folder = repository / name
        gates = read_manifest(folder)["gates"]
        onnx, engines = (folder.glob(pattern) for pattern in ("1/model.onnx*", f"{PREFLIGHT_FOLDER}/*"))
        sizes = [_number(sum(file.stat().st_size for file in files), MEGA, 1) for files in (onnx, engines)]
        error = max(gates["relative_error_by_batch"].values())
        rows.append(f"| {name} | {' | '.join(sizes)} | {error:.1e} | {gates['row_invariance_error']:.1e} |")
    return "\n".join(rows)


def _number(value: float | None, unit: float, digits: int) -> str:
    """Empty where nothing was measured."""
    return f"{value / unit:.{digits}f}" if value else ""
