"""What an exported graph must show before it is published: ONNX Runtime on the CPU against spec and reference.

Each kind of mismatch is its own error and names the model, the output and by how much. Gates run at batch sizes other
than the exporter's sample, where a frozen axis or a leak shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from client.contract import Model, Tensor
from export_scripts.errors import GateError, NonDynamicBatch, RowLeak, SignatureMismatch, ValueMismatch
from export_scripts.graphs.half import check_half_range
from export_scripts.graphs.onnx_export import Leaf, random_inputs

INVARIANCE_ROWS = 6
ONNX_TYPES = {"UINT8": "tensor(uint8)", "INT32": "tensor(int32)", "FP16": "tensor(float16)", "FP32": "tensor(float)"}

Arrays = dict[str, NDArray[np.generic]]


class Session(Protocol):
    """What runs a graph: an ONNX Runtime session, or an engine behind the same method."""

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[np.generic]]) -> list[Any]: ...


@dataclass(frozen=True)
class GateLoad:
    """How much a gate runs. batches: batch sizes of the comparison with the reference; the largest one is also that of
    a row among neighbours. rows: how many rows are followed through the arrangements. threads: of ONNX Runtime; with
    one, sums are added up in one order, and rows can be compared bit by bit. 0 is one per core."""

    batches: tuple[int, ...] = (1, 2, 3, 7, 16)
    rows: int = INVARIANCE_ROWS
    threads: int = 1

    def up_to(self, max_batch: int) -> GateLoad:
        """The same with the largest batch."""
        return replace(self, batches=tuple(sorted({*self.batches, max_batch})))


@dataclass(frozen=True)
class GateResult:
    """errors: batch size → largest relative error against the reference. row_error: largest relative change of a row
    with its neighbours, place or batch size; 0 means bitwise equality. tolerance: what both had to stay under.
    largest_value: that any layer gave, where the precision is float16."""

    errors: Mapping[int, float]
    row_error: float
    tolerance: float
    largest_value: float | None = None

    def values(self, resolution: int) -> dict[str, Any]:
        """What a manifest says of it; the images were of `resolution` pixels, the graph ran on the CPU."""
        values: dict[str, Any] = {
            "provider": "CPUExecutionProvider",
            "resolution": resolution,
            "tolerance": self.tolerance,
            "relative_error_by_batch": {str(rows): _short(error) for rows, error in self.errors.items()},
            "row_invariance_error": _short(self.row_error),
            "rows_exact": self.row_error == 0.0,
        }
        return values if self.largest_value is None else values | {"largest_value": _short(self.largest_value)}


GATE_LOAD = GateLoad()


def check(leaf: Leaf, path: Path, load: GateLoad = GATE_LOAD) -> GateResult:
    """Runs every gate on the ONNX file at `path`. Raises the GateError of the first that fails."""
    largest = None if leaf.full is None else check_range(leaf)
    session = open_session(leaf.model.name, path, load.threads)
    check_signature(leaf.model, session)
    errors = {rows: check_values(leaf, session, rows) for rows in load.batches}
    return GateResult(errors, check_rows(leaf, session, max(load.batches), load.rows), leaf.tolerance, largest)


def check_range(leaf: Leaf) -> float:
    """The largest value of any layer on random inputs, in float32. Raises HalfOverflow if float16 can't hold it."""
    assert leaf.full is not None
    inputs = random_inputs(leaf.model, 2, np.random.default_rng(2))
    return check_half_range(
        leaf.model.name,
        leaf.full,
        lambda: leaf.reference(*(torch.from_numpy(a) for a in inputs.values())),
        leaf.islands,
    )


def open_session(name: str, path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises GateError if ONNX Runtime refuses the file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Large models run with all threads: the arena would keep every tensor's peak until the session ends.
    options.enable_cpu_mem_arena = threads == 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own per status, without a common base
        raise GateError(f"{name}: ONNX Runtime refuses the graph: {error}") from error


def check_signature(model: Model, session: onnxruntime.InferenceSession) -> None:
    """Names, order, datatypes and shapes are the spec's, and axis 0 is free."""
    for kind, expected, found in (
        ("input", model.inputs, session.get_inputs()),
        ("output", model.outputs, session.get_outputs()),
    ):
        names = [value.name for value in found]
        if names != [tensor.name for tensor in expected]:
            raise SignatureMismatch(f"{model.name}: {kind}s are {names}, the spec has {[t.name for t in expected]}")
        for tensor, value in zip(expected, found, strict=True):
            _check_value_info(model.name, kind, tensor, value)


def check_values(leaf: Leaf, session: Session, rows: int) -> float:
    """The largest relative error against the reference on random inputs of `rows` rows."""
    inputs = random_inputs(leaf.model, rows, np.random.default_rng(rows))
    got = _run(leaf.model, session, inputs)
    with torch.no_grad():
        returned = leaf.reference(*(torch.from_numpy(array) for array in inputs.values()))
    references = returned if isinstance(returned, tuple) else (returned,)
    expected = {name: reference.numpy() for name, reference in zip(got, references, strict=True)}
    worst = 0.0
    for name, array in got.items():
        error = relative_error(array, expected[name], expected[leaf.scales.get(name, name)])
        if not error <= leaf.tolerance:  # NaN fails too
            raise ValueMismatch(
                f"{leaf.model.name}: {name} at {rows} rows is off its reference by {error:.2e}, "
                f"more than {leaf.tolerance:.0e}"
            )
        worst = max(worst, error)
    return worst


def check_rows(leaf: Leaf, session: Session, max_rows: int, rows: int = INVARIANCE_ROWS) -> float:
    """The largest relative change of a row under permutation, other neighbours, copies of itself and batch size."""
    model, pool = leaf.model, random_inputs(leaf.model, max_rows + rows, np.random.default_rng(99))
    first = np.arange(rows)
    alone = [_run(model, session, _take(pool, [row])) for row in first]
    expected = {name: np.concatenate([outputs[name] for outputs in alone]) for name in alone[0]}
    arrangements = {
        "in another batch size": first,
        "in another order": first[::-1],
        "among copies of itself": np.repeat(first[:1], rows),
        "beside other neighbours": np.concatenate([first[:1], np.arange(rows, rows + max_rows - 1)]),
    }
    worst = 0.0
    for what, order in arrangements.items():
        got = _run(model, session, _take(pool, order))
        known = order < rows
        for name, array in got.items():
            scale = expected[leaf.scales.get(name, name)]
            error = relative_error(array[known], expected[name][order[known]], scale)
            if not error <= leaf.tolerance:
                raise RowLeak(
                    f"{model.name}: {name} of a row changes by {error:.2e} {what}, more than {leaf.tolerance:.0e}"
                )
            worst = max(worst, error)
    return worst


def relative_error(
    array: NDArray[np.generic], reference: NDArray[np.generic], scale: NDArray[np.generic] | None = None
) -> float:
    """Largest absolute difference over the largest absolute value of `scale` (default: of the reference), absolute if
    that is 0; NaN where anything is not finite."""
    wide, expected = array.astype(np.float64), reference.astype(np.float64)
    difference = float(np.abs(wide - expected).max())
    largest = float(np.abs(expected if scale is None else scale.astype(np.float64)).max())
    return difference if largest == 0 else difference / largest


def _check_value_info(model: str, kind: str, tensor: Tensor, value: onnxruntime.NodeArg) -> None:
    name = f"{model}: {kind} {tensor.name}"
    if value.type != ONNX_TYPES[tensor.datatype]:
        raise SignatureMismatch(f"{name} is {value.type}, the spec has {ONNX_TYPES[tensor.datatype]}")
    batch, *shape = value.shape
    if isinstance(batch, int):
        raise NonDynamicBatch(f"{name} has its batch axis frozen at {batch}")
    if tuple(shape) != tensor.shape:
        raise SignatureMismatch(f"{name} has the shape {tuple(shape)} per row, the spec has {tensor.shape}")


def _short(error: float) -> float:
    return float(f"{error:.1e}")


def _run(model: Model, session: Session, inputs: Arrays) -> Arrays:
    rows = len(next(iter(inputs.values())))
    try:
        arrays = session.run(None, inputs)
    except Exception as error:  # as above: a graph whose body froze the batch fails here, whatever its inputs say
        raise NonDynamicBatch(f"{model.name}: does not run with a batch of {rows}: {error}") from error
    for tensor, array in zip(model.outputs, arrays, strict=True):
        if len(array) != rows:
            raise NonDynamicBatch(f"{model.name}: {tensor.name} has {len(array)} rows for {rows} rows of input")
        if array.shape[1:] != tensor.shape:
            raise SignatureMismatch(
                f"{model.name}: {tensor.name} has the shape {array.shape[1:]} per row, the spec has {tensor.shape}"
            )
    return dict(zip((tensor.name for tensor in model.outputs), arrays, strict=True))


def _take(inputs: Arrays, rows: Sequence[int] | NDArray[np.int64]) -> Arrays:
    return {name: array[np.asarray(rows)] for name, array in inputs.items()}
