"""Golden rows of a repository: what every model must answer, composed of what its leaves answer (client/golden).

An export takes the answers of the float32 references in torch, whatever the precision of its graphs, and asks the graphs too: how
far these are off says how far another engine of them may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from client import contract
from client.contract import Model, Step
from client.golden import Expected, Golden, compare, cycled, expected, inputs, told, worst
from export_scripts.errors import GoldenMismatch
from export_scripts.gates.graph import Session, open_session
from export_scripts.graphs.leaves import Leaves
from export_scripts.settings import FP16, FP32

ROWS = 4
SEED = 0
CONDITIONS = ("COND", "COND_POOLED", "REFERENCE", "REFERENCE_POOLED")
# As a part of a tensor's size. Measured on the built-in pipeline, graphs on the CPU against torch: conditions 0, latents 0,
# features 2e-6, losses 3e-7, DELTA, the difference of nearly equal ones, 2e-5; in fp16 3e-4, 0, 2e-3, 2e-4, 8e-3. Other engines
# of a precision add up in other orders; the next coarser one must not pass (TF32 is about as coarse as fp16).
TOLERANCE: Mapping[str, Mapping[str, float]] = {
    FP32: {"LATENT": 2e-4, "FEATURE": 2e-4, "LOSS_PROMPT": 1e-4, "LOSS_REFERENCE": 1e-4, "DELTA": 1e-3}
    | dict.fromkeys(CONDITIONS, 1e-5),
    FP16: {"LATENT": 6e-3, "FEATURE": 6e-3, "LOSS_PROMPT": 1e-3, "LOSS_REFERENCE": 1e-3, "DELTA": 3e-2}
    | dict.fromkeys(CONDITIONS, 2e-3),
}
MARGIN = 4.0
"""Another engine may be off by so many times what the graphs were off by, where that is more."""
MOST = {FP32: 0.02, FP16: 0.2}
"""Graphs that are off by more are wrong; not so DELTA in fp16, the rest of nearly equal losses, which has a gate of its own."""

Arrays = Mapping[str, NDArray[np.generic]]
Run = Callable[[str, Arrays], Arrays]
"""(name of a leaf, its inputs) → its outputs, arrays all."""


@dataclass(frozen=True)
class Made:
    """Golden rows by model, and by how much the graphs are off: model → output → part of its size."""

    golden: Mapping[str, Golden]
    errors: Mapping[str, Mapping[str, float]]


def make_golden(
    models: Mapping[str, Model], precision: str, reference: Run, graphs: Run, rows: int = ROWS, run_rows: int = ROWS
) -> Made:
    """Golden rows of these models, as `reference` answers them. run_rows: how many of them the graphs are asked.

    Raises GoldenMismatch if a graph is off by more than any engine of its precision should be.
    """
    scales = condition_scales(models, reference)
    asked = {name: Golden(SEED, rows, {}, _of_inputs(model, scales), "torch float32") for name, model in models.items()}
    answers = composed(models, {name: inputs(asked[name], model) for name, model in models.items()}, reference)
    few = range(min(rows, run_rows))
    found = composed(models, {name: inputs(asked[name], model, few) for name, model in models.items()}, graphs)
    golden, errors = {}, {}
    for name, outputs in answers.items():
        base = TOLERANCE[precision]
        strict = _with(asked[name], {key: expected(key, array, base[key]) for key, array in outputs.items()})
        differences = compare(strict, found[name], few)
        for one in differences:
            if not one.size <= MOST[precision] and (one.tensor != "DELTA" or precision == FP32):
                raise GoldenMismatch(f"{name}: {told(one)}: its graph answers golden rows otherwise than torch")
        errors[name] = {one.tensor: float(f"{one.size:.1e}") for one in differences}
        wide = {one.tensor: max(base[one.tensor], float(f"{MARGIN * one.size:.1e}")) for one in differences}
        golden[name] = _with(strict, {key: expected(key, array, wide[key]) for key, array in outputs.items()})
    return Made(golden, errors)


def from_graphs(
    models: Mapping[str, Model], precision: str, graphs: Run, known: Mapping[str, Golden], names: Sequence[str]
) -> dict[str, Golden]:
    """Golden rows of these models, as the graphs of an export answer them, which has compared them with torch.

    known: golden rows from before. Their number, the sizes of their conditions and their tolerances stay.

    Raises GoldenMismatch for an fp16 model without golden rows: how far fp16 may be off, its pipeline alone can say.
    """
    if precision != FP32 and (lacking := [name for name in names if name not in known]):
        raise GoldenMismatch(
            f"{', '.join(lacking)}: golden rows are answers in float32, which {precision} graphs can't give: export the pipeline "
            "again to have them"
        )
    rows = min((golden.rows for golden in known.values()), default=ROWS)
    unet = known.get(contract.UNET)
    scales = dict(unet.scales) if unet is not None else condition_scales(models, graphs)
    source = f"onnxruntime {precision}"
    asked = {name: Golden(SEED, rows, {}, _of_inputs(models[name], scales), source) for name in names}
    answers = composed(models, {name: inputs(asked[name], models[name]) for name in names}, graphs)
    made = {}
    for name, outputs in answers.items():
        before = known[name].outputs if name in known else {}
        wide = {key: before[key].tolerance if key in before else TOLERANCE[precision][key] for key in outputs}
        made[name] = _with(asked[name], {key: expected(key, array, wide[key]) for key, array in outputs.items()})
    return made


def condition_scales(models: Mapping[str, Model], run: Run) -> dict[str, float]:
    """Standard deviations of the conditions by name, of the prompts of golden rows."""
    name = contract.PROMPT_EMBEDDING
    answers = composed({name: models[name]}, {name: inputs(Golden(SEED, ROWS, {}), models[name])}, run)[name]
    return {key: float(f"{array.astype(np.float64).std():.3g}") for key, array in answers.items()}


def composed(models: Mapping[str, Model], given: Mapping[str, Arrays], run: Run) -> dict[str, Arrays]:
    """The outputs of every model of `given`, its inputs: leaf after leaf, so that one at a time need be in memory."""
    held: dict[str, dict[str, NDArray[np.generic]]] = {name: dict(arrays) for name, arrays in given.items()}
    for leaf in contract.LEAVES:
        for name, tensors in held.items():
            for step in models[name].steps or (_itself(models[name]),):
                if step.model == leaf:
                    found = run(leaf, {theirs: tensors[ours] for theirs, ours in step.input_map})
                    tensors |= {ours: found[theirs] for theirs, ours in step.output_map}
    return {name: {tensor.name: held[name][tensor.name] for tensor in models[name].outputs} for name in held}


def in_torch(leaves: Leaves) -> Run:
    """What the references of these float32 leaves answer, a row at a time."""

    def run(name: str, arrays: Arrays) -> Arrays:
        model = leaves.by_name[name].model
        tensors = [torch.from_numpy(np.ascontiguousarray(arrays[tensor.name])) for tensor in model.inputs]
        tensors = [tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors]
        rows = []
        with torch.no_grad():
            for row in range(len(tensors[0])):
                returned = leaves.by_name[name].reference(*(tensor[row : row + 1] for tensor in tensors))
                rows.append(returned if isinstance(returned, tuple) else (returned,))
        parts = zip(model.outputs, zip(*rows, strict=True), strict=True)
        return {tensor.name: torch.cat(answers).numpy() for tensor, answers in parts}

    return run


def in_onnx_runtime(models: Mapping[str, Model], graphs: Mapping[str, Path], threads: int) -> Run:
    """What these graphs answer on the CPU, a row at a time; one session is open at a time."""
    opened: dict[str, Session] = {}

    def run(name: str, arrays: Arrays) -> Arrays:
        if name not in opened:
            opened.clear()
            opened[name] = open_session(name, graphs[name], threads)
        count = len(next(iter(arrays.values())))
        alone = ({key: array[row : row + 1] for key, array in arrays.items()} for row in range(count))
        rows = [opened[name].run(None, row) for row in alone]
        parts = zip(models[name].outputs, zip(*rows, strict=True), strict=True)
        return {tensor.name: np.concatenate(answers) for tensor, answers in parts}

    return run


def check_golden(model: Model, golden: Golden, session: Session, max_batch: int) -> float:
    """The largest difference of an engine's answers to golden rows, each alone and all in the largest batch.

    Raises GoldenMismatch for the first that is not allowed.
    """
    largest = 0.0
    requests: list[Sequence[int]] = [[row] for row in range(golden.rows)]
    for rows in (*requests, cycled(golden, max_batch)):
        arrays = session.run(None, inputs(golden, model, rows))
        outputs = {tensor.name: array for tensor, array in zip(model.outputs, arrays, strict=True)}
        difference = worst(compare(golden, outputs, rows))
        if not difference.allowed:
            raise GoldenMismatch(f"{model.name}: {told(difference)}, in a batch of {len(rows)} golden rows")
        largest = max(largest, difference.size)
    return largest


def _of_inputs(model: Model, scales: Mapping[str, float]) -> dict[str, float]:
    return {tensor.name: scales[tensor.name] for tensor in model.inputs if tensor.name in scales}


def _with(golden: Golden, outputs: Mapping[str, Expected]) -> Golden:
    return Golden(golden.seed, golden.rows, outputs, golden.scales, golden.reference)


def _itself(leaf: Model) -> Step:
    return Step(leaf.name, tuple((t.name, t.name) for t in leaf.inputs), tuple((t.name, t.name) for t in leaf.outputs))
