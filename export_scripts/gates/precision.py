"""The gate of reduced precision: does it choose the same windows as float32, on real images?

Relative errors of a tensor say little here: typicality is a small difference, and what counts is which windows it ranks
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from client import contract
from export_scripts.errors import PipelineError, PrecisionLoss
from export_scripts.gates.graph import open_session
from export_scripts.graphs.leaves import Leaves, make_leaves
from export_scripts.pipelines.parts import SourcePipeline
from selector.builtin import builtin_scenes
from selector.images.canvas import fit
from selector.images.datasets import list_items
from selector.images.decoding import decode
from selector.images.readers import Containers
from selector.localisation.centring import NONE
from selector.localisation.choice import WindowSetting, chosen_windows, setting_of
from selector.localisation.typicality import reduce_deltas
from selector.localisation.windows import window_grid, window_means
from selector.records import Box

IMAGES, DRAWS = 8, 8
LATENT_CELLS_AT_ONCE = 4096
# Measured: 1.000 and 1.00 for the built-in pipeline, 0.998 and 0.86 for random weights, whose maps are nearly flat
# (docs/decisions/011-reduced-precision.md).
LEAST_CORRELATION, LEAST_OVERLAP = 0.98, 0.8

Run = Callable[..., list[NDArray[Any]]]
"""(name of a leaf, its inputs) → its outputs, arrays all."""


@dataclass(frozen=True)
class WindowAgreement:
    """How two maps of one image agree: Spearman correlation over all windows, IoU of the two best windows."""

    correlation: float
    overlap: float


def check_precision(
    source: SourcePipeline, leaves: Leaves, graphs: Mapping[str, Path], images: Path | None
) -> dict[str, Any]:
    """Scores a few images by `source` in float32 torch and by the exported `graphs`, and compares their windows.

    leaves: those of the graphs, at the graphs' resolution, as `source` is. images: a folder of class folders; None is
    the built-in scenes. Returns what a manifest says of it. Raises PrecisionLoss, or PipelineError without images.
    """
    canvases = _canvases(images or builtin_scenes(), source.resolution)
    full, reduced = _in_torch(make_leaves(source, len(leaves.bank))), _in_onnx_runtime(graphs)
    found = [_agreement(source, leaves, canvas, number, full, reduced) for number, canvas in enumerate(canvases)]
    correlation, overlap = (float(np.mean([getattr(a, n) for a in found])) for n in ("correlation", "overlap"))
    if not (correlation >= LEAST_CORRELATION and overlap >= LEAST_OVERLAP):  # NaN fails too
        raise PrecisionLoss(
            f"{contract.UNET}: in {leaves.identity.precision} the windows' typicality correlates with fp32 by "
            f"{correlation:.3f} and the chosen windows overlap by {overlap:.2f} (means of {len(found)} images); at least "
            f"{LEAST_CORRELATION} and {LEAST_OVERLAP} are needed: export this pipeline in fp32"
        )
    return {
        "images": len(found),
        "resolution": source.resolution,
        "draws": min(DRAWS, len(leaves.bank)),
        "window_correlation": {"mean": round(correlation, 4), "least": LEAST_CORRELATION},
        "window_overlap": {"mean": round(overlap, 4), "least": LEAST_OVERLAP},
    }


def compare_windows(
    full: NDArray[np.float32], reduced: NDArray[np.float32], canvas: NDArray[np.uint8], setting: WindowSetting
) -> WindowAgreement:
    """The agreement of two maps [h, w] of one canvas. Not finite values agree with nothing."""
    if not (np.isfinite(full).all() and np.isfinite(reduced).all()):
        return WindowAgreement(float("nan"), 0.0)
    whole = Box(0, 0, len(canvas), len(canvas))
    grid = window_grid(len(canvas), setting.middle_px, setting.stride_px)
    one, other = (window_means(values, grid).ravel() for values in (full, reduced))
    best, same = (chosen_windows(values, canvas, whole, setting, 1)[0].box for values in (full, reduced))
    return WindowAgreement(float(spearmanr(one, other).statistic), best.overlap(same))


def _agreement(
    source: SourcePipeline, leaves: Leaves, canvas: NDArray[np.uint8], number: int, full: Run, reduced: Run
) -> WindowAgreement:
    # Typicality alone: a prior and centring look at the image, which no precision changes.
    setting = setting_of(leaves.identity, prior_weight=0.0, centring=NONE)
    classes, draws = len(source.classes), min(DRAWS, len(leaves.bank))
    class_id = number % classes
    references = setting.rule.references(class_id, classes, draws).reshape(-1, 1)
    prompts = np.full((draws, 1), class_id + 1, np.int32)
    numbers = np.arange(draws, dtype=np.int32).reshape(-1, 1)
    weights = setting.rule.weights(np.array(leaves.identity.timestep_weights[:draws], np.float32))
    one, other = (reduce_deltas(_deltas(run, canvas, prompts, references, numbers), weights) for run in (full, reduced))
    return compare_windows(one, other, canvas, setting)


def _canvases(root: Path, resolution: int) -> list[NDArray[np.uint8]]:
    """Images from all over the listing, fitted to the square."""
    listing = list_items(root)
    count = len(listing)
    if count < IMAGES:
        raise PipelineError(f"{root} has {count} images; the gate of reduced precision needs {IMAGES}")
    chosen = np.array([(2 * k + 1) * count // (2 * IMAGES) for k in range(IMAGES)])
    with Containers() as containers:
        return [fit(decode(containers.read(place)), resolution)[0] for place in listing.places(chosen)]


def _in_torch(leaves: Leaves) -> Run:
    def run(name: str, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.no_grad():
            outputs = leaves.by_name[name].module(*(torch.from_numpy(array) for array in arrays))
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return run


def _in_onnx_runtime(graphs: Mapping[str, Path]) -> Run:
    sessions = {name: open_session(name, graphs[name], threads=0) for name in contract.LEAVES if name != contract.DIFT}

    def run(name: str, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        names = [item.name for item in sessions[name].get_inputs()]
        return list(sessions[name].run(None, dict(zip(names, arrays, strict=True))))

    return run


def _deltas(
    run: Run,
    canvas: NDArray[np.uint8],
    prompt: NDArray[np.int32],
    reference: NDArray[np.int32],
    draw: NDArray[np.int32],
) -> NDArray[np.float32]:
    """DELTA [n, h, w] of one image for n rows of ids [n, 1]; at 512 px there is memory for one row at a time."""
    (latent,) = run(contract.VAE_ENCODER, canvas[None])
    conditions = run(contract.PROMPT_EMBEDDING, prompt, reference)
    step = max(1, LATENT_CELLS_AT_ONCE // (latent.shape[2] * latent.shape[3]))
    parts = []
    for first in range(0, len(draw), step):
        rows = slice(first, first + step)
        latents = np.repeat(latent, len(draw[rows]), axis=0)
        parts.append(run(contract.UNET, latents, *(c[rows] for c in conditions), draw[rows])[0])
    return np.concatenate(parts)
