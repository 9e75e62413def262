"""What other users of this machine can do to a command's server: a second uid tries it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.shared_memory import slab
from tests.e2e.command import environment, selector
from tests.e2e.left_behind import DEADLINE_S, Started, start
from tests.e2e.other_user import (
    ANSWERED,
    GRPC_OFF,
    GRPC_OPEN,
    GRPC_RESTRICTED,
    HTTP_OPEN,
    HTTP_REFUSED,
    as_another_user,
    grpc_calls,
)
from tests.integration.processes import until

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become a second user"),
]


def sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found |= set(re.findall(r"^socket:\[(\d+)\]$", str(entry.readlink())))
        except FileNotFoundError:
            continue
    return found


def internet() -> dict[str, str]:
    """Inode → protocol, local address and state of every socket of TCP and UDP, as the kernel lists them."""
    found = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            fields = line.split()
            found[fields[9]] = f"{protocol} {fields[1]} {fields[3]}"
    return found


def ports(started: Started) -> list[str]:
    """All that the command's processes have open of the internet protocols."""
    listed = internet()
    return sorted(listed[inode] for process in started.family() for inode in sockets(process.pid) if inode in listed)


def server_of(started: Started) -> psutil.Process:
    (server,) = [process for process in started.family() if process.name() == "tritonserver"]
    return server


def committed(started: Started) -> bool:
    return any((started.folder / "out" / "store" / "images").glob("*.parquet"))


def test_a_run_has_no_port_and_nobody_else_reaches_its_server_or_sees_its_rows(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # whoever gets no further is kept out by the server's own folder
    started = start(tmp_path, "run", "--ipc", 3, "--limit-per-class", 60, "--shard-size", 8, "--out", tmp_path / "out")
    until(lambda: committed(started), "a commit", DEADLINE_S)
    server = server_of(started)
    assert len(started.family()) >= 4  # command, supervisor, server, stubs
    assert ports(started) == []
    found = re.search(r"embedded Triton \S+ on unix:(\S+),", started.stderr())
    assert found
    started.note_regions()
    regions = {str(region) for region in started.regions if region.exists()}
    assert len(regions) >= 4
    paths = [found[1], str(Path(found[1]).parent), f"/proc/{server.pid}/environ", f"/proc/{server.pid}/fd", *regions]
    assert as_another_user(paths=paths) == dict.fromkeys(paths, "PermissionError")
    refused = as_another_user(grpc=f"unix:{found[1]}")
    assert all(answer.startswith("UNAVAILABLE") for answer in refused.values()), refused
    assert started.process.poll() is None, "the run was over before it was looked at"
    os.kill(started.process.pid, signal.SIGTERM)
    started.wait()


@contextmanager
def serving(folder: Path, *ports: str) -> Iterator[Started]:
    """`selector serve` as people start it, here on free ports, which leaves nothing."""
    asked = [part for port in ("--grpc-port", *ports) for part in (port, "0")]
    started = start(folder, "serve", *asked)
    try:
        until(lambda: "--header-file" in started.stderr(), "the server is up", DEADLINE_S)
        yield started
    finally:
        os.kill(started.process.pid, signal.SIGTERM)
        started.wait()
    started.check_nothing_left()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with serving(tmp_path_factory.mktemp("serve")) as started:
        yield started


def address(started: Started) -> str:
    return re.findall(r"gRPC (127\.0\.0\.1:\d+)", started.stderr())[0]


def header_file(started: Started) -> Path:
    return Path(re.findall(r"--header-file (\S+)", started.stderr())[0])


def header(started: Started) -> dict[str, str]:
    name, _, value = header_file(started).read_text().splitlines()[-1].partition(": ")
    return {name: value}


def test_everybody_may_ask_a_served_server_and_only_its_owner_shares_memory_traces_or_logs(served: Started) -> None:
    for headers in ({}, dict.fromkeys(header(served), "wrong")):
        found = as_another_user(grpc=address(served), headers=headers)
        assert {name: found[name] for name in GRPC_OPEN} == dict.fromkeys(GRPC_OPEN, ANSWERED)
        for name in GRPC_RESTRICTED:
            assert found[name].startswith("UNAVAILABLE: This protocol is restricted"), (name, found[name])
        for name in GRPC_OFF:
            assert found[name].startswith("UNAVAILABLE: explicit model load / unload is not allowed"), (
                name,
                found[name],
            )
    owner = grpc_calls(address(served), header(served))
    assert owner["SystemSharedMemoryStatus"] == owner["TraceSetting"] == owner["LogSettings"] == ANSWERED
    assert not Path("/tmp/evil").exists()


def test_a_served_server_has_the_one_port_and_no_http(served: Started) -> None:
    port = int(address(served).rpartition(":")[2])
    listening = {line for line in ports(served) if line.startswith("tcp") and line.endswith(" 0A")}
    assert len(listening) == 1
    assert listening.pop().endswith(f"0100007F:{port:04X} 0A")  # 127.0.0.1, as the kernel writes it
    answers = set(as_another_user(http=address(served)).values())
    assert answers <= {"BadStatusLine", "RemoteDisconnected", "ConnectionResetError"}


def test_the_key_stands_in_one_file_of_its_owner_and_in_no_command_line(served: Started) -> None:
    (value,) = header(served).values()
    assert header_file(served).stat().st_mode & 0o777 == 0o600
    processes = served.family()
    assert not [process for process in processes if value in " ".join(process.cmdline())]
    assert value in " ".join(server_of(served).environ().values())  # where it got it from: this user's alone
    assert value not in served.stderr()
    log = Path(re.findall(r"log (\S+)", served.stderr())[0])
    assert value not in log.read_text()
    secrets = [str(header_file(served)), str(log), *(f"/proc/{process.pid}/environ" for process in processes)]
    assert as_another_user(paths=secrets) == dict.fromkeys(secrets, "PermissionError")


def test_a_server_that_was_killed_comes_back_with_the_same_key(served: Started) -> None:
    before = server_of(served)
    before.kill()
    until(lambda: "was started again (1 so far)" in served.stderr(), "a restart", DEADLINE_S)

    def owner() -> str:
        return grpc_calls(address(served), header(served))["SystemSharedMemoryStatus"]

    until(lambda: owner() == ANSWERED, "the new server is up", DEADLINE_S)
    assert not [one for one in served.family() if next(iter(header(served).values())) in " ".join(one.cmdline())]
    found = as_another_user(grpc=address(served))
    assert found["ModelInfer"] == ANSWERED
    assert "restricted" in found["SystemSharedMemoryRegister"]


def shared_regions(started: Started) -> list[str]:
    """Segments of clients that the server has mapped."""
    with grpc.insecure_channel(address(started)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.SystemSharedMemoryStatusRequest()
        answer = stub.SystemSharedMemoryStatus(request, timeout=20, metadata=tuple(header(started).items()))
        return [name for name in answer.regions if name.startswith(slab.PREFIX)]


def test_the_printed_header_file_gives_a_run_shared_memory(served: Started, tmp_path: Path) -> None:
    asked = ("run", "--ipc", "1", "--limit-per-class", "24", "--server", address(served), "--out")
    command = [
        sys.executable,
        "-m",
        "selector",
        *asked,
        str(tmp_path / "with"),
        "--header-file",
        str(header_file(served)),
    ]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as run:
        until(lambda: bool(shared_regions(served)) or run.poll() is not None, "a segment", DEADLINE_S)
        assert run.poll() is None, run.communicate()[1]
        _, said = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert "no shared memory" not in said
    assert shared_regions(served) == []
    without = selector(*asked, tmp_path / "without")
    assert "restricts the protocol shared-memory: put its header into --header-file" in without.stderr


def test_http_is_there_where_it_is_asked_for_and_restricted_likewise(tmp_path: Path) -> None:
    with serving(tmp_path, "--http-port", "--metrics-port") as started:
        until(lambda: "leave --http-port" in started.stderr(), "the warning")
        (http,) = re.findall(r"HTTP (127\.0\.0\.1:\d+)", started.stderr())
        assert re.search(r"metrics http://127\.0\.0\.1:\d+/metrics", started.stderr())
        found = as_another_user(http=http)
    assert {request: found[request] for request in HTTP_OPEN} == dict.fromkeys(HTTP_OPEN, ANSWERED)
    for request in HTTP_REFUSED:
        assert re.match(r"[45]\d\d: .*(restricted|not allowed)", found[request], re.DOTALL), (request, found[request])
