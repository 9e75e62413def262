"""Nothing leaves the machine: no connection but loopback's, and no file under HOME, where reporters keep theirs."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 250
TAKEN = ("PATH", "LD_LIBRARY_PATH")  # of the tests' environment: in a CI service's own, the reporters keep silent
AUDITED = """
import os, sys
if __name__ == "__main__":
    watched = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname")
    place = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT)
    def hook(event, arguments):
        if event in watched:
            os.write(place, (repr((event, arguments[1:] if event == "socket.connect" else arguments)) + "\\n").encode())
    sys.addaudithook(hook)
    from selector.console import console
    console()
"""


def foreign(address: tuple[str, int]) -> bool:
    """Whether an address is none of this machine's."""
    ip = ipaddress.ip_address(address[0])
    return not (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def watched(folder: Path, *arguments: object) -> tuple[set[str], str]:
    """Runs the command with an empty HOME; returns foreign peers of its processes, and its own calls for addresses."""
    (home := folder / "home").mkdir()
    (folder / "program.py").write_text(AUDITED)
    env = bare(home) | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "0"}
    command = [sys.executable, str(folder / "program.py"), str(folder / "calls"), *map(str, arguments)]
    peers = set()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            for one in family(process.pid):
                try:
                    found = one.net_connections("inet")
                except psutil.Error:
                    continue
                peers |= {f"{one.name()} {c.raddr}" for c in found if c.raddr and foreign(c.raddr)}
            time.sleep(0.05)  # the audit hook misses no call of the command's own, however short
        assert process.stdout is not None
        assert process.returncode == 0, process.stdout.read()
    left = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert not left
    return peers, (folder / "calls").read_text()


def bare(home: Path) -> dict[str, str]:
    """An environment in which a library would report."""
    return {"HOME": str(home)} | {name: os.environ[name] for name in TAKEN if name in os.environ}


def family(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def check_only_loopback(calls: str) -> None:
    assert not [line for line in calls.splitlines() if "127.0.0.1" not in line and "/listener-" not in line]


def test_without_our_settings_the_engine_reports(tmp_path: Path) -> None:
    """Else the tests below would show nothing."""
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env=bare(tmp_path), check=True)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.server
def test_a_run_with_the_embedded_server_tells_nobody(tmp_path: Path) -> None:
    peers, calls = watched(tmp_path, "run", "--ipc", 3, "--limit-per-class", 4, "--out", tmp_path / "out")
    assert not peers
    assert "/listener-" in calls  # of the processes that decode: the hook sees what is asked
    check_only_loopback(calls)


def test_an_export_tells_nobody(tiny_pipeline: Path, tmp_path: Path) -> None:
    """Gates run by ONNX Runtime in the process itself; diffusers and transformers are imported."""
    out = tmp_path / "repository"
    peers, calls = watched(tmp_path, "export", tiny_pipeline, "--draws", 4, "--no-served-gate", "--out", out)
    assert not peers
    check_only_loopback(calls)


@pytest.mark.server
def test_a_bench_against_the_bare_engine_tells_nobody(tmp_path: Path) -> None:
    short = ("--concurrency", 1, "--window", 0.1, "--max-windows", 3, "--rounds", 1, "--round-seconds", 0.2)
    peers, calls = watched(tmp_path, "bench", "--bare", "--model", "vae_encoder", *short)
    assert not peers
    check_only_loopback(calls)
