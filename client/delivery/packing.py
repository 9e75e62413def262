"""Packing rows into requests: rows of one model, never more than the model's max_batch_size or a request's bytes allow.

The caller says when a partial group has waited long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from client.contract import DTYPES, Model, Tensor
from client.rows import Row


@dataclass(frozen=True)
class Batch:
    """Rows of one model that travel as one request."""

    model: str
    rows: tuple[Row, ...]


def row_weights(models: Mapping[str, Model], chained: Collection[str] = ()) -> dict[str, int]:
    """What one row of each model weighs while it is held, in bytes: its inputs and its outputs.

    chained: ensembles that are asked step by step, of whose rows also that weighs which goes from step to step.
    """
    return {name: sum(map(_tensor_bytes, _held(model, models, name in chained))) for name, model in models.items()}


def _held(model: Model, models: Mapping[str, Model], chained: bool) -> Iterable[Tensor]:
    held = {tensor.name: tensor for tensor in (*model.inputs, *model.outputs)}
    for step in model.steps if chained else ():
        outputs = {tensor.name: tensor for tensor in models[step.model].outputs}
        held |= {ours: outputs[name] for name, ours in step.output_map}
    return held.values()


def _tensor_bytes(tensor: Tensor) -> int:
    return prod(tensor.shape) * DTYPES[tensor.datatype].itemsize


@dataclass
class Packer:
    """Groups rows by model. batch_rows: model name → rows at which a group is full, at least 1."""

    batch_rows: Callable[[str], int]
    _groups: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, row: Row) -> Batch | None:
        """Takes a row; returns its group's rows if it is now full, and forgets them."""
        group = self._groups.setdefault(row.model, [])
        group.append(row)
        return self.take(row.model) if len(group) >= self.batch_rows(row.model) else None

    def take(self, model: str) -> Batch | None:
        """The waiting rows of a model, which are forgotten; None if there are none."""
        group = self._groups.pop(model, [])
        return Batch(model, tuple(group)) if group else None

    def take_all(self) -> list[Batch]:
        """The waiting rows of every model, which are forgotten."""
        return [batch for batch in map(self.take, list(self._groups)) if batch is not None]
