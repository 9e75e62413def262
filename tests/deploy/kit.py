"""The files of deploy/, read as they are, and the programs that check them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "selector-triton"
COMPOSE = ROOT / "deploy" / "compose"
RULES = CHART / "files" / "rules.yml"
DASHBOARD = CHART / "files" / "dashboard.json"
PROGRAMS = ROOT / ".venv-deploy" / "prometheus" / "usr" / "bin"
ELSEWHERE = "this needs what `make check-deploy` installs"

GPU_METRICS = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes"}
"""Named by the dashboard alone: Triton tells them where it has a GPU, so no test here can see them."""
_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}


def program(name: str) -> str:
    """promtool or prometheus; the test is skipped where there is none."""
    found = shutil.which(name, path=f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"there is no {name}: {ELSEWHERE}")
    return found


def rules() -> list[dict[str, Any]]:
    """All rules, alerts and records."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """All panels of the dashboard."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


def queries() -> Iterator[tuple[str, str]]:
    """Where each query stands, and the query."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def metrics_in(query: str) -> set[str]:
    """The names of metrics in a query: words that are no function, no label, no keyword and no duration."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|on|without|ignoring)\s*\([^)]*\)', " ", query)
    words = re.findall(r"[A-Za-z_:][A-Za-z0-9_:]*\b(?!\s*\()", re.sub(r"\b[0-9][0-9a-z.]*", " ", bare))
    return set(words) - _WORDS


def recorded() -> set[str]:
    """Metrics that the rules themselves make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def command_of(container: dict[str, Any]) -> list[str]:
    """What a container runs, as one list."""
    return [*container.get("command", ()), *container.get("args", ())]
