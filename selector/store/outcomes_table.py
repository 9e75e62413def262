"""outcomes.csv beside a store: every file of the data, what became of it and why.

A file of that name that is not ours is kept.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from selector.errors import UsageError
from selector.folders.files import file_errors
from selector.images.own_output import OUTCOMES_HEADER
from selector.store.commits import write_whole
from selector.store.outcomes import Outcome

_FILE = "outcomes.csv"


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


def write_outcomes(store: Path, outcomes: Iterable[Outcome]) -> Path:
    """Writes the table whole or not at all, sorted by source, and returns its path.

    Raises UsageError for a foreign file, FileError if it can't be written.
    """
    refuse_foreign_table(store)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(OUTCOMES_HEADER.split(","))
    table.writerows(sorted((o.source, o.status, o.reason) for o in outcomes))
    path = outcomes_path(store)
    with file_errors(path):
        write_whole(path, lambda file: file.write(text.getvalue().encode()))
    return path
