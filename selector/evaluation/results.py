"""Finished student runs, one small file each: a killed evaluation goes on, and two may share a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from selector.errors import StoreError
from selector.folders.files import file_errors, write_text

NO_NETWORKS: Mapping[str, str] = MappingProxyType({})
_NETWORKS = ("teacher", "easiness")
_EARLIER = {"recipe.crops": "image"}
"""What was so for folders that don't say it: before there was a choice."""


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

    def __init__(self, folder: Path, conditions: Mapping[str, Any], networks: Mapping[str, str] = NO_NETWORKS) -> None:
        """Opens or makes the folder; raises StoreError that names the conditions under which its results differ.

        networks: digests by name of the networks that these runs ask; others may have been asked before, and may be later.
        """
        self._runs = folder / "runs"
        with file_errors(self._runs):
            self._runs.mkdir(parents=True, exist_ok=True)
        path = folder / "conditions.json"
        there = json.loads(path.read_text()) if path.exists() else dict(conditions)
        before = {**networks, **{name: value for name, value in _EARLIER.items() if name in conditions}, **there}
        now = {**{name: before[name] for name in _NETWORKS if name in before}, **conditions, **networks}
        different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if different:
            listed = "; ".join(f"{n}: {before.get(n)!r} there, {now.get(n)!r} now" for n in sorted(different))
            raise StoreError(f"{folder} holds results under other conditions ({listed}): choose another --out")
        if before != there or not path.exists():
            _write(path, before)

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
