"""What a command leaves behind when it has ended: processes, shared memory, files of its server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.command import environment
from tests.integration.processes import SHARED_MEMORY, until

DEADLINE_S = 60.0


@dataclass
class Started:
    """A command in a session of its own, and all that descends from it: found by TMPDIR, which all of them inherit."""

    process: subprocess.Popen[bytes]
    folder: Path
    regions: set[Path] = field(default_factory=set)

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def family(self) -> list[psutil.Process]:
        """Those that still run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def note_regions(self) -> None:
        """Remembers what the family has of /dev/shm, so that `check_nothing_left` can look for it."""
        for process in self.family():
            try:
                lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            except OSError:
                continue
            self.regions |= {Path(line.split(maxsplit=5)[5]) for line in lines if str(SHARED_MEMORY) in line}

    def wait(self) -> int:
        return self.process.wait(timeout=DEADLINE_S)

    def check_nothing_left(self, within_s: float = 20.0) -> None:
        until(lambda: not self.family(), "every process of the command ends", within_s)
        assert not {region for region in self.regions if region.exists()}
        runs = [path.name for root in self.folder.glob("selector-embedded-*") for path in root.iterdir()]
        assert runs in ([], ["lock"])

    def check_no_traceback(self) -> None:
        text = self.stderr()
        assert not any(word in text for word in ("Traceback", "leaked", "Exception ignored", "Warning")), text


def start(folder: Path, *arguments: object, before: Callable[[], Any] | None = None) -> Started:
    """Starts the command; its stderr is a file in `folder`, which is its TMPDIR too."""
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "selector", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**environment(), "TMPDIR": str(folder)},
            start_new_session=True,
            preexec_fn=before,
        )
    return Started(process, folder)
