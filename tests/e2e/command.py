"""Runs the `selector` command as a user does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

LIMIT_S = 200


def selector(
    *arguments: object, code: int = 0, before: Sequence[str] = (), cwd: Path | None = None, timeout_s: float = LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Runs the command and checks its exit code. before: a program that runs it, with its arguments."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "selector.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        cwd=cwd,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Starts the command in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "selector.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=cwd,
    )


def environment() -> dict[str, str]:
    """The tests' environment without settings of the command."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SELECTOR_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


def manifest(out: Path, ipc: int) -> dict[str, Any]:
    return json.loads((out / f"ipc-{ipc}" / "manifest.json").read_text())


def picks(out: Path, ipc: int) -> list[dict[str, Any]]:
    return pq.read_table(out / f"ipc-{ipc}" / "selection.parquet").to_pylist()


def triton_processes(parent: int) -> list[psutil.Process]:
    """The tritonserver processes below a process."""
    return [p for p in psutil.Process(parent).children(recursive=True) if p.name() == "tritonserver"]
