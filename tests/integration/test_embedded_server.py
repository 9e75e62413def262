"""The real tritonserver: starts, stops, deaths, and what is left of it (nothing)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient

from client import ClientConfig, ScoringClient, encode_row
from client.contract import UNET
from client.embedded import runfolder
from client.embedded.overlay import LARGE_BYTES
from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from client.errors import EmbeddedError
from client.wire import Health
from tests.integration.processes import SHARED_MEMORY, alive, family, left, mapped_regions, until
from tests.toy_repository import write_toy_repository

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]

PARENT = """
import sys, time
from pathlib import Path
from client.embedded.server import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(300)
"""


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for run folders that no other server of this machine sweeps."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return runfolder.runs_root()


def test_this_machine_can_run_it() -> None:
    """Else the tests below could not."""
    assert embedded_problem() is None


def test_a_stopped_server_leaves_no_process_no_shared_memory_and_no_file(
    toy_repository: Path, tmp_path: Path, own_runs: Path
) -> None:
    """The log stays where it was asked for."""
    log = tmp_path / "logs" / "server.log"
    with EmbeddedServer(toy_repository, log=log) as server:
        processes, regions = family(server.pid), mapped_regions(server.pid)
        assert len(processes) == 5  # the server and a stub for each leaf
        assert len(regions) == 4
        assert server.version.startswith("2.")
        socket_file = Path(server.grpc_url.removeprefix("unix:"))
        assert socket_file.is_socket()
        assert not socket_file.is_relative_to(tmp_path)  # whose path is too long for a socket
        assert server.running()
    assert not alive(processes)
    assert not left(regions)
    assert not server.running()
    assert not socket_file.parent.exists()
    assert [path.name for path in own_runs.iterdir()] == ["lock"]
    assert "Started GRPCInferenceService" in log.read_text()


def test_a_server_gets_no_secret_and_no_open_file_of_its_program_and_shows_nobody_its_rows(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel lists it, of supervisor, server and stubs."""
    for name in ("AWS_SECRET_ACCESS_KEY", "SELECTOR_HEADER"):
        monkeypatch.setenv(name, "open-sesame")
    with (tmp_path / "private").open("w") as private:
        os.set_inheritable(private.fileno(), True)
        with EmbeddedServer(toy_repository) as server:
            supervisor = psutil.Process(server.pid).ppid()
            assert len(family(supervisor)) == 6
            for pid in family(supervisor):
                assert b"open-sesame" not in Path(f"/proc/{pid}/environ").read_bytes()
                assert not [one for one in Path(f"/proc/{pid}/fd").iterdir() if one.resolve() == Path(private.name)]
            assert {region.stat().st_mode & 0o777 for region in mapped_regions(server.pid)} == {0o600}
            assert Path(server.grpc_url.removeprefix("unix:")).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("ports", [{}, {"grpc_port": 0, "http_port": 0, "metrics_port": 0}], ids=["socket", "ports"])
def test_a_second_start_serves_at_the_same_address(toy_repository: Path, ports: dict[str, int]) -> None:
    """So that a client finds it again."""
    with EmbeddedServer(toy_repository, **ports) as server:
        addresses = (server.grpc_url, server.http_url, server.metrics_url)
        assert all(addresses) is bool(ports)
        server.stop()
        server.start()
        assert (server.grpc_url, server.http_url, server.metrics_url) == addresses
        assert Health(server.grpc_url).live()


def test_a_model_that_can_not_be_loaded_is_named_with_its_reason(toy_repository: Path, tmp_path: Path) -> None:
    """And the message points to the log, which is kept."""
    broken = shutil.copytree(toy_repository, tmp_path / "broken")
    (broken / "dift_extractor" / "1" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EmbeddedError) as caught, EmbeddedServer(broken):
        pass
    message = str(caught.value)
    assert "dift_extractor: " in message
    assert "INVALID_PROTOBUF" in message or "Protobuf parsing failed" in message
    assert "patch_features: " in message  # it depends on the broken one
    assert "vae_encoder: " not in message
    log = Path(message.rpartition("the whole log: ")[2])
    assert "failed to load 'dift_extractor'" in log.read_text()
    log.unlink()


def test_a_config_that_does_not_fit_its_graph_is_refused_at_the_start(toy_repository: Path, tmp_path: Path) -> None:
    """Not at the first request."""
    broken = shutil.copytree(toy_repository, tmp_path / "broken")
    shutil.copy(broken / "vae_encoder" / "1" / "model.onnx", broken / "dift_extractor" / "1" / "model.onnx")
    server = EmbeddedServer(broken, log=tmp_path / "log")
    with pytest.raises(EmbeddedError, match=r"dift_extractor: .*\['IMAGE'\].*\['COND', 'LATENT'\]"):
        server.start()


@pytest.mark.parametrize(("make", "word"), [(False, "is not a folder"), (True, "holds no model")])
def test_a_folder_without_models_is_refused_before_anything_starts(tmp_path: Path, make: bool, word: str) -> None:
    """With its name."""
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(EmbeddedError, match=word):
        EmbeddedServer(folder).start()


@pytest.mark.parametrize("name", ["grpc_port", "http_port", "metrics_port"])
def test_a_port_in_use_is_named(toy_repository: Path, own_runs: Path, name: str) -> None:
    """Rather than a timeout."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"port {port} .*in use"):
            EmbeddedServer(toy_repository, **{name: port}).start()
    assert [path.name for path in own_runs.iterdir()] == ["lock"]


def test_a_server_that_is_too_slow_is_given_up_with_its_log(toy_repository: Path, tmp_path: Path) -> None:
    """And leaves nothing."""
    with pytest.raises(EmbeddedError, match=r"not ready after 0\.01 s"):
        EmbeddedServer(toy_repository, ready_timeout_s=0.01, log=tmp_path / "log").start()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or ())]


def test_a_large_model_answers_a_row_at_a_time(tmp_path: Path) -> None:
    """Clients send requests of one row."""
    repository = write_toy_repository(tmp_path / "toy")
    with (repository / UNET / "1" / "model.onnx.data").open("wb") as file:
        file.truncate(LARGE_BYTES)  # which the graph does not refer to

    async def answered(address: str) -> tuple[int, list[float]]:
        async with ScoringClient(ClientConfig((address,))) as client:
            rows = [encode_row(level, np.full((16, 16, 3), level, np.uint8)) for level in (0, 51, 255)]
            found = {result.key: float(result.outputs["LATENT"].max()) async for result in client.score(rows)}
            return client.max_batch, [found[row.key] for row in rows]

    with EmbeddedServer(repository) as server:
        assert asyncio.run(answered(server.grpc_url)) == (1, pytest.approx([0.0, 0.2, 1.0]))


@pytest.mark.parametrize("victim", ["server", "stub"])
def test_a_killed_server_or_stub_is_replaced_at_the_same_address(toy_repository: Path, victim: str) -> None:
    """A server without one of its stubs answers nothing any more, so it is replaced as well. A killed one leaves its socket."""
    with EmbeddedServer(toy_repository) as server:
        first, processes, regions = server.pid, family(server.pid), mapped_regions(server.pid)
        os.kill(first if victim == "server" else max(processes - {first}), signal.SIGKILL)
        until(lambda: server.restarts == 1, "a restart")
        until(lambda: Health(server.grpc_url).live(), "the new server is live")
        assert server.pid != first
        assert not alive(processes)
        assert not left(regions)
        assert not Health(server.grpc_url).failed_models()


def test_a_server_that_keeps_dying_is_given_up(toy_repository: Path, tmp_path: Path) -> None:
    """`wait` says so; nothing is left."""
    with EmbeddedServer(toy_repository, restarts=0, log=tmp_path / "log") as server:
        processes, regions = family(server.pid), mapped_regions(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedError, match="ended with code"):
            server.wait()
        assert not server.running()
        until(lambda: not alive(processes), "stubs end")
        assert not left(regions)


def test_deaths_of_long_ago_do_not_count(toy_repository: Path) -> None:
    """One restart within a tenth of a second, which a start takes longer than: every death is the first one."""
    with EmbeddedServer(toy_repository, restarts=1, restarts_within_s=0.1) as server:
        for death in (1, 2):
            os.kill(server.pid, signal.SIGKILL)
            until(lambda death=death: server.restarts == death, "a restart")
            until(lambda: Health(server.grpc_url).live(), "the new server is live")


def test_a_killed_parent_leaves_no_orphan_no_shared_memory_and_no_file(toy_repository: Path, own_runs: Path) -> None:
    """kill -9 of the program that started the server."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(toy_repository)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        processes, regions = family(parent.pid), mapped_regions(pid)
        assert pid in processes
        assert len(regions) == 4
        parent.kill()
    until(lambda: not alive(processes), "server, stubs and supervisor end")
    until(lambda: not left(regions), "regions are removed")
    until(lambda: [path.name for path in own_runs.iterdir()] == ["lock"], "the run folder is removed")


def test_what_a_massacre_leaves_is_removed_by_the_next_start_and_no_other_servers_is(
    toy_repository: Path, own_runs: Path
) -> None:
    """kill -9 of server, stubs and supervisor at once, while another server lives."""
    with EmbeddedServer(toy_repository) as survivor:
        victim = EmbeddedServer(toy_repository)
        victim.start()
        regions = mapped_regions(victim.pid)
        supervisor = psutil.Process(victim.pid).ppid()
        massacred = family(supervisor)
        for process in (supervisor, *(massacred - {supervisor})):
            os.kill(process, signal.SIGKILL)
        until(lambda: not alive(massacred), "all are dead")
        assert left(regions) == regions  # else this test shows nothing
        runs = set(own_runs.glob("*_"))
        (own,) = (run for run in runs if any(region.name.startswith(run.name) for region in regions))
        until(lambda: unlocked(own), "the last thread of the dead lets go of the lock")
        created, lock = runfolder.create(own_runs)  # what a start begins with
        os.close(lock)
        assert set(own_runs.glob("*_")) == runs - {own} | {created}
        runfolder.discard(created, 0)
        assert not left(regions)
        assert left(mapped_regions(survivor.pid)) == mapped_regions(survivor.pid) != set()
        assert Health(survivor.grpc_url).live()
        victim.stop()
    assert not list(SHARED_MEMORY.glob(f"{own.name}*"))


def unlocked(run: Path) -> bool:
    """Whether nobody holds a run folder. A killed process is a zombie while threads of it still hold its files."""
    with (run / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_killed_supervisor_takes_the_server_with_it(toy_repository: Path, own_runs: Path) -> None:
    """The kernel ends the server, and `stop` waits for it."""
    server = EmbeddedServer(toy_repository)
    server.start()
    processes, regions = family(server.pid), mapped_regions(server.pid)
    os.kill(psutil.Process(server.pid).ppid(), signal.SIGKILL)
    server.stop()
    assert not alive(processes)
    assert not left(regions)
    assert [path.name for path in own_runs.iterdir()] == ["lock"]


def test_the_served_configs_have_no_queue_policy_though_the_repository_has(
    toy_server: EmbeddedServer, toy_repository: Path
) -> None:
    """With one, this version's batcher sleeps up to 0.5 s beside an idle engine (client/embedded/overlay.py)."""
    with InferenceServerClient(toy_server.grpc_url) as client:
        batching = client.get_model_config(UNET).config.dynamic_batching
    assert batching.max_queue_delay_microseconds == 1000
    assert not batching.HasField("default_queue_policy")
    assert "default_queue_policy" in (toy_repository / "unet_noise_predictor" / "config.pbtxt").read_text()
