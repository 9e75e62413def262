"""The toy repository, and one real server of it for the tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.embedded.server import EmbeddedServer
from tests.toy_repository import write_toy_repository


@pytest.fixture(scope="session")
def toy_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_toy_repository(tmp_path_factory.mktemp("toy") / "repository")


@pytest.fixture(scope="session")
def toy_server(toy_repository: Path) -> Iterator[EmbeddedServer]:
    """Do not stop or kill it."""
    with EmbeddedServer(toy_repository) as server:
        yield server
