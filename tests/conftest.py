"""Fixtures shared by all tests. torch is imported only where a fixture needs it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random small pipeline: three classes, 32 px (tests/tiny_pipeline.py)."""
    from tests.tiny_pipeline import write_tiny_pipeline

    return write_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pipeline")


@pytest.fixture(scope="session")
def tiny_repository(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_pipeline` as a Triton repository with 16 draws and batches up to 16. Do not write into it."""
    from export_scripts.export import export_pipeline
    from export_scripts.settings import Settings
    from tests.tiny_pipeline import DRAWS

    repository = tmp_path_factory.mktemp("tiny") / "repository"
    export_pipeline(tiny_pipeline, repository, Settings(draws=DRAWS, served_gate=False))
    return repository


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """A background job ignores SIGINT, one under nohup SIGHUP, and commands that the tests start would inherit that."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
