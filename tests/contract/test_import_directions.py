"""Data flows one way: what each package may import, read from the sources' own import statements."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("client", "selector", "export_scripts")

PURE = ("records", "errors", "localisation", "selection")
PURE_MAY_IMPORT = {"numpy", "scipy", "sklearn", "hdbscan"}
HEAVY = {"torch", "diffusers", "onnx", "onnxscript", "transformers"}
WIRE = {"grpc", "tritonclient"}


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Dotted names that a file imports."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} has no sources"
    return found


@pytest.mark.parametrize("path", sources("client"), ids=str)
def test_client_imports_neither_selector_nor_export_scripts_nor_torch(path: Path) -> None:
    """The client is below everything else."""
    assert not roots(path) & ({"selector", "export_scripts"} | HEAVY)


@pytest.mark.parametrize("path", sources("selector"), ids=str)
def test_selector_never_imports_the_wire_protocol(path: Path) -> None:
    """Only the client speaks to servers; of the heavy libraries selector/evaluation/ alone has torch."""
    assert not roots(path) & WIRE
    top = set(imports(path, top_level_only=True))
    inside = (ROOT / "selector" / "evaluation") in path.parents
    assert not {name.split(".")[0] for name in top} & (HEAVY - {"torch"} if inside else HEAVY)
    if not inside:
        assert not any(name.startswith("selector.evaluation") for name in top), "evaluation is imported lazily"


@pytest.mark.parametrize("path", sources("selector"), ids=str)
def test_selector_reaches_export_scripts_only_through_the_command(path: Path) -> None:
    """The command forwards `selector export`, lazily."""
    if path.name == "cli.py":
        top = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert "export_scripts" not in top
    else:
        assert "export_scripts" not in roots(path)


def pure_files() -> list[Path]:
    found = [ROOT / "selector" / name for name in PURE]
    return [
        file for path in found for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")])
    ]


@pytest.mark.parametrize("path", pure_files(), ids=str)
def test_the_pure_core_imports_only_numeric_libraries_and_itself(path: Path) -> None:
    """Arithmetic, geometry, clustering, ranking and selection are functions from arrays to arrays."""
    foreign = roots(path) - set(sys.stdlib_module_names) - PURE_MAY_IMPORT
    assert foreign <= {"selector"}
    inner = {ROOT / (name.replace(".", "/") + ".py") for name in imports(path) if name.startswith("selector.")}
    assert inner <= set(pure_files())


@pytest.mark.parametrize("path", sources("export_scripts"), ids=str)
def test_export_scripts_do_not_know_the_store_or_the_clustering(path: Path) -> None:
    """Exporters may use the client, selector's pure window geometry, and how a command reads what it is asked for."""
    used = {name for name in imports(path) if name.startswith("selector.")}
    allowed = (
        "selector.calibration.order",
        "selector.localisation.",
        "selector.images.",
        "selector.builtin",
        "selector.records",
        "selector.commands.parameters",
        "selector.commands.mistakes",
        "selector.errors",
        "selector.folders.",
        "selector.processes",
        "selector.progress",
    )
    assert all(name.startswith(allowed) for name in used), used


def test_three_files_of_the_wire_alone_speak_grpc() -> None:
    """The seam to the wire: unary calls (wire/connection.py) and the stream (wire/bidi.py), and the messages both send; and
    wire/health.py, blocking, for who starts a server."""
    speakers = {p.relative_to(ROOT / "client").as_posix() for p in sources("client") if roots(p) & WIRE}
    # Messages and configs are tritonclient's; the channels and their errors are the transports' and the health check's.
    channels = {"wire/connection.py", "wire/bidi.py", "wire/health.py"}
    assert speakers <= {*channels, "repository.py", "wire/messages.py", "wire/told.py"}
    grpc_users = {p.relative_to(ROOT / "client").as_posix() for p in sources("client") if "grpc" in roots(p)}
    assert grpc_users == channels


def test_nothing_that_ships_needs_tests_or_benchmarks() -> None:
    for path in (path for package in SHIPPED for path in sources(package)):
        assert not roots(path) & {"tests", "benchmarks"}, path


def test_benchmarks_do_not_need_the_tests() -> None:
    for path in sources("benchmarks"):
        assert "tests" not in roots(path), path
