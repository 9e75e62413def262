"""Graphs that pass for another: the right names and shapes, and a mistake inside. Each takes a model and edits it in place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Edit = Callable[[onnx.ModelProto], None]


def with_graph(repository: Path, folder: Path, name: str, edit: Edit) -> Path:
    """A copy of the repository in `folder`, one of whose leaves has an edited graph; configs and manifests stay as they are."""
    shutil.copytree(repository, folder)
    path = folder / name / "1" / "model.onnx"
    model = onnx.load(path)
    edit(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return folder


def one_weight_changed(by: float) -> Edit:
    """One of the weights of the first convolution."""

    def edit(model: onnx.ModelProto) -> None:
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        (weights,) = (item for item in model.graph.initializer if item.name == first.input[1])
        values = numpy_helper.to_array(weights).copy()
        values.flat[0] += by
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))

    return edit


def conditions_swapped(model: onnx.ModelProto) -> None:
    """COND is read where REFERENCE is meant, and the other way round."""
    other = {"COND": "REFERENCE", "REFERENCE": "COND"}
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]


def rows_mixed(model: onnx.ModelProto) -> None:
    """A batch is answered from its last row to its first: one row alone is answered rightly."""
    graph = model.graph
    graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), n) for v, n in ((-1, "m1"), (1, "p1")))
    name = graph.output[0].name
    nodes = [
        helper.make_node("Shape", [f"{name}_right"], ["rows_mixed_shape"], start=0, end=1),
        helper.make_node("Squeeze", ["rows_mixed_shape"], ["rows_mixed_count"]),
        helper.make_node("Sub", ["rows_mixed_count", "p1"], ["rows_mixed_last"]),
        helper.make_node("Range", ["rows_mixed_last", "m1", "m1"], ["rows_mixed_order"]),
    ]
    for output in graph.output:
        _renamed(graph, output.name, f"{output.name}_right")
        nodes.append(helper.make_node("Gather", [f"{output.name}_right", "rows_mixed_order"], [output.name], axis=0))
    graph.node.extend(nodes)


def output_scaled(name: str, by: float) -> Edit:
    """One output is a little too large."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(by, np.float32), "too_large"))
        _renamed(model.graph, name, f"{name}_right")
        model.graph.node.append(helper.make_node("Mul", [f"{name}_right", "too_large"], [name]))

    return edit


def rounded_to_half(model: onnx.ModelProto) -> None:
    """Float16 inside: weights, and what every product of weights gives, are rounded to it."""
    graph = model.graph
    for item in graph.initializer:
        if item.data_type == TensorProto.FLOAT and "noise" not in item.name and "scale" not in item.name:
            item.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float16).astype(np.float32), item.name)
            )
    casts = []
    for node in list(graph.node):
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            name = node.output[0]
            node.output[0] = f"{name}_full"
            casts += [
                (node, helper.make_node("Cast", [f"{name}_full"], [f"{name}_half"], to=TensorProto.FLOAT16)),
                (node, helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)),
            ]
    for node, cast in reversed(casts):
        graph.node.insert(list(graph.node).index(node) + 1, cast)


def half_graph(path: Path) -> Edit:
    """The graph at `path`, a float16 export of the same leaf, behind float32 conditions."""

    def edit(model: onnx.ModelProto) -> None:
        inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.input]
        model.CopyFrom(onnx.load(path))
        graph = model.graph
        casts = []
        for value in graph.input:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                for node in graph.node:
                    node.input[:] = [f"{name}_half" if name == value.name else name for name in node.input]
                casts.append(helper.make_node("Cast", [value.name], [f"{value.name}_half"], to=TensorProto.FLOAT16))
        nodes = [*casts, *graph.node]
        del graph.node[:], graph.input[:]
        graph.node.extend(nodes)
        graph.input.extend(inputs)

    return edit


def _renamed(graph: onnx.GraphProto, name: str, new: str) -> None:
    """A value inside the graph gets another name; outputs keep theirs."""
    for node in graph.node:
        node.input[:] = [new if value == name else value for value in node.input]
        node.output[:] = [new if value == name else value for value in node.output]
