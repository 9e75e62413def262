"""One selection that the tests of formats only look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.selector.output.hostile import write_hostile


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three picks of every hostile class in every format. Do not write into it."""
    return write_hostile(tmp_path_factory.mktemp("every"))
