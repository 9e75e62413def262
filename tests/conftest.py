"""Fixtures shared by all tests. torch is imported only where a fixture needs it."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

# Two processes with two threads each on two cores wait for one another: tiny networks took ten times as long. Before numpy and
# torch are imported, and for the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests come first, so that the last file that one of two processes works on is a short one."""
    long = ("tests/e2e/", "tests/export_scripts/", "tests/integration/")
    items.sort(key=lambda item: not item.nodeid.startswith(long))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's processes makes and the others wait for."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / f"{name}.lock"):
        if not (shared / name).exists():
            make(shared / name)
    return shared / name


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random small pipeline: three classes, 32 px (tests/tiny_pipeline.py)."""
    from tests.tiny_pipeline import write_tiny_pipeline

    return made_once(tmp_path_factory, "tiny-pipeline", write_tiny_pipeline)


@pytest.fixture(scope="session")
def tiny_repository(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_pipeline` as a Triton repository with 16 draws and batches up to 16. Do not write into it."""
    from export_scripts.export import export_pipeline
    from export_scripts.settings import Settings
    from tests.tiny_pipeline import DRAWS

    def export(folder: Path) -> None:
        export_pipeline(tiny_pipeline, folder, Settings(draws=DRAWS, served_gate=False))

    return made_once(tmp_path_factory, "tiny-repository", export)


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Hugging Face's `datasets`, off the network and out of the home folder: it reads the environment when it is imported."""
    assert "datasets" not in sys.modules, "a test imports datasets itself: take this fixture"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
            patch.setenv(name, "1")
        return importlib.import_module("datasets")


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """A background job ignores SIGINT, one under nohup SIGHUP, and commands that the tests start would inherit that."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
