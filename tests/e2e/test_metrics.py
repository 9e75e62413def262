"""A run that is watched: its counts while it works."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.command import start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import wait_for

pytestmark = pytest.mark.server


def test_the_endpoint_named_on_stderr_answers_with_the_rows_so_far_while_scoring_runs(
    tmp_path: Path, server: str
) -> None:
    """With --json too, which silences everything that nobody asked for; and every request is part of a trace."""
    data = some_scenes(tmp_path / "data", ("bag", "coat", "t-shirt"), 40)
    asked = ("--server", server, "--metrics-address", 0, "--trace", "new", "--json")
    with start("score", data, "--store", tmp_path / "store", *asked) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.fullmatch(r"metrics of this run: (http://127\.0\.0\.1:\d+/metrics)\n", said)
        assert found, said

        def rows() -> int:
            with urlopen(found[1], timeout=5) as response:
                text = response.read().decode()
            assert f'selector_client_replica_ready{{replica="{server}"}} 1\n' in text
            return int(re.findall(r"^selector_client_rows_total (\d+)$", text, re.MULTILINE)[0])

        first = wait_for(rows, "a row")
        wait_for(lambda: rows() > first, "more rows")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
