"""Freed memory stays with the process: counted in page faults of a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from client import allocation

BLOCK_BYTES, BLOCKS, ROUNDS = 786_432, 4, 100
_ONCE = BLOCK_BYTES * BLOCKS // 4096
_CHURN = f"""
import resource, sys
if "keep" in sys.argv:
    from client.allocation import keep_freed_pages
    assert keep_freed_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    blocks = [b"x" * {BLOCK_BYTES} for _ in range({BLOCKS})]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these are settings of glibc")


def faults(*arguments: str, variables: dict[str, str] | None = None) -> int:
    """Page faults of a process that allocates and frees four messages a hundred times."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _CHURN, *arguments],
        env=environment | (variables or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_left_alone_the_c_library_fetches_the_pages_again_every_time() -> None:
    """If this fails, the settings are no longer needed."""
    assert faults() > 20 * _ONCE


def test_a_process_that_keeps_its_pages_fetches_them_once() -> None:
    assert faults("keep") < 3 * _ONCE


def test_so_does_a_process_that_is_started_with_the_variables() -> None:
    assert faults(variables=allocation.environment()) < 3 * _ONCE
