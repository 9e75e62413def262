"""Several processes score one store, as parts or as equals: every image once, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from client.embedded.server import EmbeddedServer
from client.errors import EmbeddedError
from selector.builtin import builtin_repository
from selector.store.claims import Claims
from selector.store.store import Store
from tests.e2e.command import picks, selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import contents, same, wait_for

pytestmark = pytest.mark.server

PAIR = ("bag", "t-shirt")
SETTINGS = ("--draws", 2, "--shard-size", 2, "--workers", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_scenes(tmp_path_factory.mktemp("scenes") / "data", PAIR, 24)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path, server: str) -> Path:
    """The output of one process."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    selector("run", data, "--ipc", 5, *SETTINGS, "--server", server, "--out", out)
    return out


def score(data: Path, store: Path, server: str, *more: object) -> tuple[object, ...]:
    return ("score", data, "--store", store, *SETTINGS, "--server", server, *more)


def selected(store: Path, out: Path) -> list[dict[str, object]]:
    selector("select", "--store", store, "--ipc", 5, "--out", out)
    return picks(out, 5)


def spent(store: Path) -> int:
    return sum(run["unet_rows"] for run in Store.open(store).read_history())


def shards(store: Path) -> set[int]:
    return Store.open(store).image_shards()


def test_parts_at_once_do_the_work_of_one_process(data: Path, undisturbed: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    parts = [start(*score(data, store, server, "--part", f"{i}/3", "--no-steal")) for i in (1, 2, 3)]
    said = [part.communicate(timeout=180)[1] for part in parts]
    assert [part.returncode for part in parts] == [0, 0, 0], said
    assert same(contents(store), contents(undisturbed / "store"))
    assert spent(store) == 48 * 4, "no row was spent twice"
    assert selected(store, tmp_path) == picks(undisturbed, 5)


def test_a_part_does_its_own_shards_and_then_what_nobody_works_on(data: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    selector(*score(data, store, server, "--part", "2/3", "--no-steal"))
    assert shards(store) == set(range(1, 24, 3))
    with Claims(store, "").registered() as _, ExitStack() as held:
        other = Claims(store, "3/3")
        held.enter_context(other.registered())
        assert other.take("images", 5)
        selector(*score(data, store, server, "--part", "1/3"))
        assert shards(store) == set(range(24)) - {5}
    selector(*score(data, store, server, "--part", "1/5"))  # of another number of parts
    assert shards(store) == set(range(24))
    assert spent(store) == 48 * 4


def test_the_task_of_a_slurm_array_is_the_part(
    data: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ID", "12"), ("MIN", "10"), ("STEP", "2"), ("COUNT", "4")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    done = selector(*score(data, tmp_path / "store", server, "--no-steal"))
    assert "part 2/4" in done.stderr
    assert shards(tmp_path / "store") == set(range(1, 24, 4))


def test_status_says_what_is_done_and_who_works(data: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    selector(*score(data, store, server, "--part", "1/2", "--no-steal"))
    claims = Claims(store, "2/2")
    with claims.registered():
        claims.take("images", 3)
        found = json.loads(selector("status", "--store", store, "--json").stdout)
        text = selector("status", "--store", store).stdout
    assert found["images"] == {
        "listed": 48, "done": 24, "scored": 24, "filtered": 0, "failed": 0, "described": 24,
    }  # fmt: skip
    assert found["shards"] == {"images": 12, "patches": 12}
    assert found["left"] == 24
    assert [(one["part"], one["shards"]) for one in found["writers"]] == [("2/2", ["images 3"])]
    assert "24 of 48 done" in text
    assert "images 3: process" in text
    selector(*score(data, store, server))
    again = json.loads(selector("status", "--store", store, "--json", "--watch").stdout)
    assert (again["left"], again["writers"]) == (0, [])


def test_status_of_a_few_files_of_every_class_ends_with_nothing_left(data: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for limit, listed in ((5, 10), (3, 6), (0, 48)):  # of the run that began last
        selector(*score(data, store, server, "--limit-per-class", limit))
        found = json.loads(selector("status", "--store", store, "--json").stdout)
        assert (found["images"]["listed"], found["images"]["done"], found["left"]) == (listed, listed, 0)


def test_another_fingerprint_and_a_part_that_is_none_are_refused(data: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    selector(*score(data, store, server, "--part", "1/4", "--no-steal"))
    refused = selector(*score(data, store, server, "--part", "2/4", "--fit", "pad"), code=5)
    assert '\'fit\' is "crop" there and "pad" here' in refused.stderr
    for part, said in (("5/4", "there is no part 5 of 4"), ("0/4", "no part 0 of 4"), ("two", "--part must be I/N")):
        assert said in selector(*score(data, store, server, "--part", part), code=2).stderr


_JUMPING = """
import runpy, sys, time
if __name__ == "__main__":  # not in the processes that decode
    real, real_ns, began = time.time, time.time_ns, time.monotonic()
    off = lambda: 3600 if (time.monotonic() - began) % 2 < 1 else -3600  # seconds
    time.time, time.time_ns = lambda: real() + off(), lambda: real_ns() + off() * 10**9
    del sys.argv[:4]  # this program, and python -m selector.cli
    sys.argv.insert(0, "selector")
    runpy.run_module("selector.cli", run_name="__main__")
"""


def test_a_machine_whose_clock_jumps_does_its_part(data: Path, undisturbed: Path, server: str, tmp_path: Path) -> None:
    """By two hours every second, forwards and back; the clock of the other process stands right."""
    store, program = tmp_path / "store", tmp_path / "jumping.py"
    program.write_text(_JUMPING)
    with start(*score(data, store, server, "--part", "2/2")) as other:
        selector(*score(data, store, server, "--part", "1/2"), before=(sys.executable, str(program)))
        assert other.wait(120) == 0
    assert same(contents(store), contents(undisturbed / "store"))
    assert spent(store) == 48 * 4
    assert json.loads(selector("status", "--store", store, "--json").stdout)["left"] == 0


class Fleet:
    """Processes that score one store, each begun again when it is killed."""

    def __init__(self, commands: Sequence[tuple[object, ...]]) -> None:
        self.commands = list(commands)
        self.running = [start(*command) for command in self.commands]
        self.kills = 0

    def kill(self, which: int) -> None:
        """The process ends at once, and another takes its place."""
        process = self.running[which]
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            self.kills += 1
        process.communicate()
        self.running[which] = start(*self.commands[which])

    def end(self, timeout_s: float) -> None:
        """All end by themselves."""
        for process in self.running:
            said = process.communicate(timeout=timeout_s)[1]
            assert process.returncode == 0, said


class Servers:
    """Servers that are killed and start again, and how many UNet rows all of their lives answered."""

    def __init__(self, servers: Sequence[EmbeddedServer]) -> None:
        self.servers = list(servers)
        self.before = self._answered()
        self.ended = self.kills = 0

    def kill(self, which: int) -> None:
        """The server ends at once, unless it is between two lives."""
        with suppress(OSError, EmbeddedError, InferenceServerException):
            self.ended += self._of(self.servers[which])
            os.kill(self.servers[which].pid, signal.SIGKILL)
            self.kills += 1

    def rows(self) -> int:
        """Of all lives since this was made; what a server answered between its last count and its end is left out."""
        return self.ended + self._answered() - self.before

    def _answered(self) -> int:
        return sum(map(self._of, self.servers))

    def _of(self, server: EmbeddedServer) -> int:
        with InferenceServerClient(server.grpc_url) as client:
            (stats,) = client.get_inference_statistics("unet_noise_predictor").model_stats
            return int(stats.inference_count)


def test_no_image_is_lost_or_doubled_when_writers_are_killed(
    data: Path, undisturbed: Path, server: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    whole = score(data, store, server)
    fleet = Fleet([whole, (*whole, "--part", "2/3"), (*whole, "--part", "3/3")])
    wait_for(lambda: (store / "images").exists() and len(list((store / "images").glob("*.parquet"))) >= 2, "commits")
    for which in (0, 1, 2, 0):
        fleet.kill(which)
        time.sleep(1)
    fleet.end(120)
    assert same(contents(store), contents(undisturbed / "store"))
    assert selected(store, tmp_path) == picks(undisturbed, 5)
    print(f"{fleet.kills} kills")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_eight_writers_and_three_servers_under_two_hundred_kills(tmp_path: Path) -> None:
    data, chance = tmp_path / "data", random.Random(0)
    _many(data, 20_000)
    settings, commits = ("--draws", 1, "--shard-size", 64, "--workers", 1), 2 * -(-20_000 // 64)
    with ExitStack() as stack:
        made = [stack.enter_context(EmbeddedServer(builtin_repository(), restarts=1000, threads=1)) for _ in range(3)]
        addresses = ",".join(server.grpc_url for server in made)
        alone = Servers(made)
        selector("score", data, "--store", tmp_path / "one", *settings, "--server", addresses, timeout_s=3600)
        least, servers, store = alone.rows(), Servers(made), tmp_path / "store"
        command = ("score", data, "--store", store, *settings, "--server", addresses)
        fleet = Fleet([(*command, "--part", f"{i}/8") for i in range(1, 9)])
        while (kills := fleet.kills + servers.kills) < 200:  # all along the work, however fast the machine is
            wait_for(lambda at=0.9 * commits * kills / 200: len(list(store.glob("*/0*.parquet"))) >= at, "commits")
            time.sleep(chance.uniform(0, 0.5))
            assert any(process.poll() is None for process in fleet.running), "all was done before 200 kills"
            if chance.random() < 0.2:
                servers.kill(chance.randrange(3))
            else:
                fleet.kill(chance.randrange(8))
        fleet.end(3600)
        spent_rows = servers.rows()
    Store.open(store).verify()
    assert committed(store) == committed(tmp_path / "one")
    assert list((store / "work").iterdir()) == [], "what killed writers left is gone"
    print(
        f"{fleet.kills} kills of writers, {servers.kills} of servers; {least} UNet rows alone, {spent_rows} with them"
    )


def committed(store: Path) -> dict[str, bytes]:
    """The files of all commits, which name their vectors by a hash of the content."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*/[0-9]*.parquet")}


def _many(data: Path, count: int) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(count):
        path = data / PAIR[number % 2] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
