"""The flags of the kits on a real server, that of the wheel: what the probes ask is answered, what nobody needs is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from tritonclient.grpc import service_pb2, service_pb2_grpc

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from tests.deploy.kit import COMPOSE

pytestmark = pytest.mark.server

OF_THE_IMAGE = ("--model-repository", "--allow-", "--grpc-port", "--metrics-port")
"""Places, which the server of the wheel has others of."""
REFUSED = {
    "SystemSharedMemoryRegister": service_pb2.SystemSharedMemoryRegisterRequest(name="a", key="/a", byte_size=4),
    "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
    "CudaSharedMemoryStatus": service_pb2.CudaSharedMemoryStatusRequest(),
    "TraceSetting": service_pb2.TraceSettingRequest(),
    "LogSettings": service_pb2.LogSettingsRequest(),
    "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="noise_loss"),
    "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name="noise_loss"),
}
ANSWERED = {
    "ServerReady": service_pb2.ServerReadyRequest(),
    "ModelConfig": service_pb2.ModelConfigRequest(name="noise_loss"),
    "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
    "ModelStatistics": service_pb2.ModelStatisticsRequest(),
}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """To a server with the flags that the kit's shell line ends in."""
    folder: Path = tmp_path_factory.mktemp("bin")
    stub = folder / "tritonserver"
    stub.write_text('#!/bin/sh\nfor one in "$@"; do echo "$one"; done\n')
    stub.chmod(0o755)
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["triton"]
    command = [part.replace("$$", "$") for part in service["command"]]
    done = subprocess.run(command, env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    flags = [flag for flag in done.stdout.splitlines() if not flag.startswith(OF_THE_IMAGE)]
    assert any(flag.startswith("--grpc-restricted-protocol=") for flag in flags)
    with (
        EmbeddedServer(builtin_repository(), grpc_port=0, threads=1, arguments=flags) as server,
        grpc.insecure_channel(server.grpc_url) as opened,
    ):
        yield opened


def test_a_probe_of_kubernetes_hears_that_it_serves(channel: grpc.Channel) -> None:
    """grpc.health.v1: the request is empty, the answer is one field of one byte, SERVING."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"


@pytest.mark.parametrize("call", REFUSED)
def test_what_nobody_needs_is_refused(channel: grpc.Channel, call: str) -> None:
    with pytest.raises(grpc.RpcError, match=r"protocol is restricted|load / unload is not allowed"):
        ask(channel, call, REFUSED[call])


@pytest.mark.parametrize("call", ANSWERED)
def test_what_the_client_needs_is_answered(channel: grpc.Channel, call: str) -> None:
    ask(channel, call, ANSWERED[call])


def ask(channel: grpc.Channel, call: str, request: Any) -> Any:
    return getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), call)(request, timeout=10)
