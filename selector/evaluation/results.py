"""Finished student runs, one small file each: a killed evaluation goes on, and two may share a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selector.errors import StoreError
from selector.folders.files import file_errors, write_text


@dataclass(frozen=True)
class RunKey:
    """What one student was trained on and what it is."""

    method: str
    pool: int
    ipc: int
    student: str
    labels: str

    @property
    def name(self) -> str:
        """The record's file name."""
        return f"{self.method}-pool{self.pool}-ipc{self.ipc}-{self.student}-{self.labels}.json"


@dataclass(frozen=True)
class StudentRun:
    """One finished run. last, best: accuracy in [0, 1] by test view; best is the best checkpoint's, marked in tables.

    curve: accuracies at every checkpoint by view; steps: the checkpoints. seconds: processor time of the training.
    """

    key: RunKey
    seed: int
    last: dict[str, float]
    best: dict[str, float]
    steps: list[int]
    curve: dict[str, list[float]]
    seconds: float


class Results:
    """The folder of an evaluation: conditions.json and runs/."""

    def __init__(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        """Opens or makes the folder; raises StoreError that names the conditions under which its results differ."""
        self._runs = folder / "runs"
        with file_errors(self._runs):
            self._runs.mkdir(parents=True, exist_ok=True)
        path = folder / "conditions.json"
        if not path.exists():
            _write(path, dict(conditions))
        before = json.loads(path.read_text())
        different = [name for name in {**before, **conditions} if before.get(name) != conditions.get(name)]
        if different:
            listed = "; ".join(f"{n}: {before.get(n)!r} there, {conditions.get(n)!r} now" for n in sorted(different))
            raise StoreError(f"{folder} holds results under other conditions ({listed}): choose another --out")

    def has(self, key: RunKey) -> bool:
        """Whether this run is finished."""
        return (self._runs / key.name).exists()

    def add(self, run: StudentRun) -> None:
        """Keeps a finished run."""
        _write(self._runs / run.key.name, asdict(run))

    def read(self) -> list[StudentRun]:
        """All finished runs, sorted by file name."""
        return read_runs(self._runs.parent)


def read_runs(folder: Path) -> list[StudentRun]:
    """The finished runs of an evaluation's folder, whatever its conditions, sorted by file name."""
    records = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*.json"))]
    return [StudentRun(key=RunKey(**record.pop("key")), **record) for record in records]


def _write(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=1, sort_keys=True))
