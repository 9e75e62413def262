"""One small run of the main command, shared by the tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from tests.e2e.command import selector

PER_CLASS = 8


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of `selector run --ipc 3` on eight scenes of every class."""
    out = tmp_path_factory.mktemp("demo") / "out"
    selector("run", "--ipc", 3, "--limit-per-class", PER_CLASS, "--out", out)
    return out


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server of the built-in repository, for runs that are about something else than their server."""
    with EmbeddedServer(builtin_repository(), threads=1) as started:
        yield started.grpc_url
