"""outcomes.csv beside a store: every file of the data, what became of it and why.

A file of that name that is not ours is kept.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc

from selector.errors import UsageError
from selector.folders.files import file_errors
from selector.images.own_output import OUTCOMES_HEADER
from selector.store.commits import write_whole
from selector.store.outcomes import Outcomes

_FILE = "outcomes.csv"
_ROWS = 1 << 16  # written at a time


def outcomes_path(store: Path) -> Path:
    """Where the table of a store lies."""
    return store.absolute().parent / _FILE


def has_outcomes(store: Path) -> bool:
    """Whether there is a table beside the store."""
    path = outcomes_path(store)
    try:
        with path.open("rb") as file:
            return file.read(len(OUTCOMES_HEADER)) == OUTCOMES_HEADER.encode()
    except OSError:
        return False


def refuse_foreign_table(store: Path) -> None:
    """Raises UsageError if a run would replace a file that is not such a table."""
    path = outcomes_path(store)
    if path.exists() and not has_outcomes(store):
        raise UsageError(
            f"{path} is there and is no table of outcomes (it does not begin with {OUTCOMES_HEADER}): it is not replaced. "
            "Move it away, or choose another folder"
        )


def write_outcomes(store: Path, outcomes: Outcomes) -> Path:
    """Writes the table whole or not at all, sorted by source, and returns its path.

    Raises UsageError for a foreign file, FileError if it can't be written.
    """
    refuse_foreign_table(store)
    path = outcomes_path(store)
    with file_errors(path):
        write_whole(path, lambda file: _write(file, outcomes))
    return path


def _write(file: BinaryIO, outcomes: Outcomes) -> None:
    names = OUTCOMES_HEADER.split(",")
    rows = outcomes.rows.select(names)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in names]))
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.writer(text)
    table.writerow(names)
    for batch in rows.to_batches(_ROWS):
        table.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    text.detach()
