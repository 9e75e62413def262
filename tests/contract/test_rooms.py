"""The rooms of each package: which others each may import, that no circle is among them, and how large they may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ROOMS = {
    "client": {
        "doors": "",
        "telemetry": "",
        "allocation": "",
        "errors": "",
        "statistics": "",
        "ranges": "",
        "contract": "errors",
        "rows": "contract",
        "shared_memory": "doors errors statistics",
        "wire": "doors errors statistics ranges contract shared_memory",
        "metrics": "errors statistics ranges wire",
        "golden": "doors errors contract wire",
        "repository": "contract errors wire",
        "core_protocol": "errors contract golden wire repository",
        "handshake": "errors contract golden wire repository core_protocol",
        "inspection": "errors contract golden wire handshake",
        "delivery": "doors errors statistics ranges contract rows wire",
        "config": "ranges metrics wire delivery",
        "scoring": "errors statistics contract rows metrics wire golden handshake delivery config",
        "embedded": "telemetry allocation errors contract wire",
        "bench": "errors ranges contract rows repository wire delivery config scoring embedded",
    },
    "selector": {
        "errors": "",
        "records": "",
        "progress": "",
        "builtin": "",
        "curves": "",
        "console": "",
        "folders": "errors",
        "localisation": "records",
        "selection": "errors records",
        "images": "errors records builtin",
        "store": "errors records folders images",
        "config": "client errors images",
        "processes": "errors console",
        "ray_cluster": "errors",
        "order_pool": "processes ray_cluster selection",
        "scoring": "client errors records progress folders localisation images store config processes ray_cluster",
        "calibration": "client errors records progress curves folders images localisation config processes scoring",
        "report": "records folders selection",
        "output": "errors records processes folders images selection store config scoring report",
        "evaluation": "client errors records progress curves folders localisation selection images store config",
        "soft_labels": "client errors records progress builtin folders images config processes output evaluation",
        "run": (
            "client errors progress builtin folders images selection store config order_pool scoring report output"
        ),
        "doctor": "client builtin",
        "commands": (
            "client errors progress builtin folders images store config scoring output calibration evaluation "
            "soft_labels run doctor"
        ),
        "cli": "client errors console folders commands",
        "__main__": "console",
    },
    "export_scripts": {
        "errors": "",
        "steps": "",
        "small_pipeline": "",
        "class_list": "errors",
        "settings": "client errors class_list",
        "pipelines": "errors class_list settings small_pipeline",
        "graphs": "client errors settings pipelines",
        "repository": "client selector errors graphs",
        "gates": "client selector errors steps settings pipelines graphs repository",
        "engines": "client selector errors steps settings graphs repository gates",
        "features": "selector errors settings pipelines graphs",
        "training": "client selector settings small_pipeline pipelines graphs",
        "export": "client steps settings pipelines graphs repository gates engines",
        "reuse": "client errors steps settings pipelines graphs repository gates export",
        "command": "client selector errors class_list steps settings pipelines repository engines features export reuse",
        "builtin": "selector command",
        "train_small": "client selector small_pipeline training",
    },
}
"""What lies in each package, a file or a folder, and what it may import: what stands above it, and whole packages below."""

LAZY = {("selector.console", "selector.cli"), ("selector.cli", "export_scripts.command")}
"""The two arrows upwards, inside functions: the process runs the command, and `selector export` the exporter."""

DOORS = ("client.delivery", "client.golden", "client.wire", "client.shared_memory")
LOOSE_FILES = {"client": 15, "selector": 12, "export_scripts": 12}
LONGEST = 300


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} has no sources"
    return found


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Modules of the repository that a file imports, wherever in it."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports here name their package"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] in (*ROOMS, "benchmarks"):
                yield name if is_module(name) else name.rpartition(".")[0]


def is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_and_folder_of_a_package_has_its_place_among_the_rooms(package: str) -> None:
    parts = {path.relative_to(ROOT / package).parts[0].removesuffix(".py") for path in sources(package)}
    assert parts - {"__init__"} == set(ROOMS[package])


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_may_import_only_what_stands_above_it(package: str) -> None:
    above: set[str] = set(list(ROOMS)[: list(ROOMS).index(package)])
    for room, allowed in ROOMS[package].items():
        assert set(allowed.split()) <= above, room
        above.add(room)


@pytest.mark.parametrize(("package", "room"), [(package, room) for package in ROOMS for room in ROOMS[package]])
def test_a_room_imports_what_it_may(package: str, room: str) -> None:
    place = ROOT / package / room
    files = sources(f"{package}/{room}") if place.is_dir() else [place.with_suffix(".py")]
    used = set()
    for path in files:
        for name in imports(path):
            first, *inner = name.split(".")
            if (module(path), name) not in LAZY and (inner or first != package):
                used.add(inner[0] if first == package else first)
    assert used - {room} <= set(ROOMS[package][room].split())


def test_no_circle_of_imports_is_among_the_files() -> None:
    """Those inside functions and those for type checkers count as well: a door hides what lies behind it."""
    files, lazy = [path for package in (*ROOMS, "benchmarks") for path in sources(package)], set()
    graph = {module(path): set(imports(path)) - {module(path)} for path in files}
    assert "client.delivery.attempts" in graph["client.delivery"], "doors are seen through"
    assert "client.wire" in graph["client.delivery.attempts"]
    for path in files:
        for above in graph[module(path)] & {above for below, above in LAZY if below == module(path)}:
            assert above not in imports(path, top_level_only=True)
            graph[module(path)].remove(above)
            lazy.add((module(path), above))
    assert lazy == LAZY
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_nobody_reaches_past_the_door_of_a_room_of_the_client() -> None:
    for path in (path for package in (*ROOMS, "benchmarks") for path in sources(package)):
        for door in DOORS:
            if not module(path).startswith(door):
                assert not [name for name in imports(path) if name.startswith(f"{door}.")], path


@pytest.mark.parametrize("package", ROOMS)
def test_a_package_keeps_few_loose_files_and_no_long_one(package: str) -> None:
    loose = [path for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= LOOSE_FILES[package]
    for path in sources(package):
        assert len(path.read_text().splitlines()) <= LONGEST, path
