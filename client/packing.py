"""Packing rows into requests: rows of one model, never more than the model's max_batch_size.

Owns groups of waiting rows. Pure: it knows neither clocks nor the wire; when a partial group has waited long enough is
for the caller to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from client.rows import Row


@dataclass(frozen=True)
class Batch:
    """Rows of one model that travel as one request."""

    model: str
    rows: tuple[Row, ...]


@dataclass
class Packer:
    """Groups rows by model. batch_rows: rows at which a group is full, at least 1."""

    batch_rows: int
    _groups: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, row: Row) -> Batch | None:
        """Takes a row; returns its group's rows if it is now full, and forgets them."""
        group = self._groups.setdefault(row.model, [])
        group.append(row)
        return self.take(row.model) if len(group) >= self.batch_rows else None

    def waiting(self, model: str) -> int:
        """Rows of a model that wait for company."""
        return len(self._groups.get(model, ()))

    def take(self, model: str) -> Batch | None:
        """The waiting rows of a model, which are forgotten; None if there are none."""
        group = self._groups.pop(model, [])
        return Batch(model, tuple(group)) if group else None

    def take_all(self) -> list[Batch]:
        """The waiting rows of every model, which are forgotten."""
        return [batch for batch in map(self.take, list(self._groups)) if batch is not None]
