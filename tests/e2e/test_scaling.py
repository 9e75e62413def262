"""A fleet that is scaled by the backlog: what is left is told, a server that comes is used, one that drains loses no row."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from selector.store.store import Store
from tests.e2e.command import selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_parts import spent
from tests.e2e.test_survival import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

IMAGES, DRAWS = 120, 64
PAUSE_S = 0.2
"""Between two questions: they are answered in the event loop that does the work."""


class Told:
    """What the endpoint of a run says."""

    def __init__(self, url: str) -> None:
        with urlopen(url, timeout=5) as response:
            self._text = response.read().decode()

    def total(self, name: str) -> float:
        """The sum of a metric over all labels."""
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self._text, re.MULTILINE)
        assert values, f"{name} is not told"
        return sum(map(float, values))

    def rows(self) -> dict[str, int]:
        """Rows that each server has answered."""
        found = re.findall(r'^selector_client_replica_rows_total\{replica="(.*)"\} (\d+)$', self._text, re.MULTILINE)
        return {address: int(rows) for address, rows in found}


def test_a_server_that_appears_is_taken_into_use_and_one_that_drains_loses_no_row(tmp_path: Path) -> None:
    """As an autoscaler has it: the list of servers grows while rows are left, then the first server leaves it and ends."""
    data = some_scenes(tmp_path / "data", ("bag", "coat", "t-shirt"), IMAGES // 3)
    servers, store = tmp_path / "servers.txt", tmp_path / "store"
    with ExitStack() as stack:
        first = stack.enter_context(EmbeddedServer(builtin_repository(), grpc_port=0, threads=1))
        second = stack.enter_context(EmbeddedServer(builtin_repository(), grpc_port=0, threads=1))
        servers.write_text(f"{first.grpc_url}\n")
        asked = ("--server", f"file:{servers}", "--metrics-address", "127.0.0.1:0", "--shard-size", 16, "--workers", 1)
        run = stack.enter_context(start("score", data, "--store", store, "--draws", DRAWS, *asked))
        assert run.stderr is not None
        url = next(line for line in run.stderr if line.startswith("metrics of this run: ")).split()[-1]

        def told(condition: Callable[[Told], bool]) -> Told | None:
            time.sleep(PAUSE_S)
            found = Told(url)
            return found if condition(found) else None

        alone = wait_for(lambda: told(lambda now: now.rows()[first.grpc_url] > 500), "rows of the first server")
        assert alone.total("selector_rows_left") > 0
        assert alone.total("selector_client_waiting") > 0, "more rows are ready than one server may hold"
        assert alone.total("selector_client_rows_per_second") > 0
        assert set(alone.rows()) == {first.grpc_url}

        servers.write_text(f"{first.grpc_url}\n{second.grpc_url}\n")
        both = wait_for(lambda: told(lambda now: now.rows().get(second.grpc_url, 0) > 500), "rows of the second server")
        assert both.total("selector_client_replica_ready") == 2
        assert both.total("selector_rows_left") < alone.total("selector_rows_left")

        servers.write_text(f"{second.grpc_url}\n")
        left = wait_for(lambda: told(lambda now: set(now.rows()) == {second.grpc_url}), "the first server to be let go")
        first.stop()
        after = wait_for(
            lambda: told(lambda now: now.rows()[second.grpc_url] > left.rows()[second.grpc_url]), "more rows"
        )
        assert after.total("selector_client_retries_total") == 0, "nothing was sent to the one that left"
        assert after.total("selector_client_failures_total") == 0
        said = run.communicate(timeout=600)[1]
        assert run.returncode == 0, said
    assert spent(store) == IMAGES * DRAWS * 2, "no row was lost, and none was spent twice"
    assert Store.open(store).images("status")["status"].to_pylist() == ["ok"] * IMAGES
    done = selector("status", "--store", store, "--json").stdout
    assert re.search(r'"left": 0\b', done), done
