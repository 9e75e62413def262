"""Servers of other projects that serve the leaves of a repository, each as a process of an environment of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client import contract

ENVIRONMENT = Path(os.environ.get("OIP_ENV", Path(__file__).parents[2] / ".venv-oip")).resolve()
PYTHON = ENVIRONMENT / "bin" / "python"
MISSING = "" if PYTHON.exists() else "MLServer and KServe have an environment of their own: make test-oip"
MODELS = Path(__file__).parent / "models"
_START_S = 120.0


@contextmanager
def mlserver(repository: Path, folder: Path) -> Iterator[str]:
    """MLServer with the four leaves, each by the model class of models/onnx_leaf.py. Yields HOST:PORT of its gRPC.

    folder: of its settings and its log.
    """
    http, port = free_ports(2)
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": port,
        "grpc_max_message_length": 256 << 20,
        "metrics_endpoint": None,
        "parallel_workers": 0,  # one process: a second one would get every tensor as a pickle
        "debug": False,
    }
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    for leaf in contract.LEAVES:
        graph = repository.resolve() / leaf / "1" / "model.onnx"
        model = {"name": leaf, "implementation": "onnx_leaf.OnnxLeaf", "parameters": {"uri": str(graph)}}
        (folder / leaf).mkdir()
        (folder / leaf / "model-settings.json").write_text(json.dumps(model))
    command = [ENVIRONMENT / "bin" / "mlserver", "start", folder]
    with running(command, folder, f"127.0.0.1:{port}") as address:
        yield address


@contextmanager
def running(command: list[object], folder: Path, address: str) -> Iterator[str]:
    """The process of a server, from when it says that it is ready. Its log is in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SELECTOR_", "PYTHON"))}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*map(str, command)], env=kept | {"PYTHONPATH": str(MODELS)}, cwd=folder, stdout=log, stderr=log
        )
        try:
            await_ready(address, process, folder / "log.txt")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=2).ready:
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
