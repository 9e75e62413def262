"""What another user of this machine gets from a server: run as a program by root, which becomes `nobody` before it looks.

It imports everything first, since that user may not be allowed to read this Python. It reads a JSON object and prints one.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

NOBODY = 65534
TIMEOUT_S = 20.0
MODEL = "vae_encoder"
SIDE = 64
ANSWERED = "answered"

GRPC_OPEN = {
    "ServerLive": pb.ServerLiveRequest(),
    "ServerReady": pb.ServerReadyRequest(),
    "ServerMetadata": pb.ServerMetadataRequest(),
    "ModelReady": pb.ModelReadyRequest(name=MODEL),
    "ModelMetadata": pb.ModelMetadataRequest(name=MODEL),
    "ModelConfig": pb.ModelConfigRequest(name=MODEL),
    "ModelStatistics": pb.ModelStatisticsRequest(),
    "RepositoryIndex": pb.RepositoryIndexRequest(),
    "ModelInfer": pb.ModelInferRequest(
        model_name=MODEL,
        inputs=[pb.ModelInferRequest.InferInputTensor(name="IMAGE", datatype="UINT8", shape=[1, SIDE, SIDE, 3])],
        raw_input_contents=[bytes(SIDE * SIDE * 3)],
    ),
}
"""Calls that everybody may make who reaches the server."""

_FILE = pb.ModelRepositoryParameter(bytes_param=b"evil")
_OVERRIDE = {"config": pb.ModelRepositoryParameter(string_param="{}"), "file:1/model.onnx": _FILE}
_TRACE_FILE = pb.TraceSettingRequest.SettingValue(value=["/tmp/evil"])
GRPC_RESTRICTED = {
    "SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(),
    "SystemSharedMemoryRegister": pb.SystemSharedMemoryRegisterRequest(name="evil", key="/evil", byte_size=64),
    "SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(),  # of all regions
    "CudaSharedMemoryStatus": pb.CudaSharedMemoryStatusRequest(),
    "CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(name="evil", raw_handle=b"x", byte_size=64),
    "CudaSharedMemoryUnregister": pb.CudaSharedMemoryUnregisterRequest(),
    "TraceSetting": pb.TraceSettingRequest(),
    "TraceSetting of a file": pb.TraceSettingRequest(settings={"trace_file": _TRACE_FILE}),
    "LogSettings": pb.LogSettingsRequest(),
    "LogSettings of a file": pb.LogSettingsRequest(
        settings={"log_file": pb.LogSettingsRequest.SettingValue(string_param="/tmp/evil")}
    ),
}
"""Calls that need the key."""

GRPC_OFF = {
    "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name=MODEL),
    "RepositoryModelLoad of files": pb.RepositoryModelLoadRequest(model_name="evil", parameters=_OVERRIDE),
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name=MODEL),
}
"""Calls that nobody may make."""

HTTP_OPEN = ("GET /v2/health/live", "GET /v2", f"GET /v2/models/{MODEL}/config", "POST /v2/repository/index")
HTTP_REFUSED = (
    f"POST /v2/repository/models/{MODEL}/load",
    f"POST /v2/repository/models/{MODEL}/unload",
    *(
        f"{what}"
        for kind in ("systemsharedmemory", "cudasharedmemory")
        for what in (
            f"GET /v2/{kind}/status",
            f"POST /v2/{kind}/region/evil/register",
            f"POST /v2/{kind}/region/evil/unregister",
            f"POST /v2/{kind}/unregister",
        )
    ),
    "GET /v2/trace/setting",
    "POST /v2/trace/setting",
    "GET /v2/logging",
    "POST /v2/logging",
)


def as_another_user(**asked: Any) -> dict[str, str]:
    """What `nobody` gets, by call. grpc: an address; headers: of its calls; http: an address; files, sockets: paths to open."""
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(asked), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def grpc_calls(address: str, headers: Mapping[str, str]) -> dict[str, str]:
    """ "answered", or the status and text of the refusal."""
    found = {}
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name, request in (GRPC_OPEN | GRPC_RESTRICTED | GRPC_OFF).items():
            call = getattr(stub, name.split()[0])
            try:
                call(request, timeout=TIMEOUT_S, metadata=tuple(headers.items()))
                found[name] = ANSWERED
            except grpc.RpcError as error:
                found[name] = f"{error.code().name}: {error.details()}"
    return found


def http_calls(address: str) -> dict[str, str]:
    """ "answered", the status and text of the refusal, or what came instead of HTTP."""
    found = {}
    for request in (*HTTP_OPEN, *HTTP_REFUSED):
        method, path = request.split()
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body="{}" if method == "POST" else None)
            answer = connection.getresponse()
            found[request] = ANSWERED if answer.status == 200 else f"{answer.status}: {answer.read().decode()}"
        except (OSError, http.client.HTTPException) as error:
            found[request] = type(error).__name__
        finally:
            connection.close()
    return found


def opened(path: str) -> str:
    """What comes of opening a file, a folder or a socket."""
    try:
        if Path(path).is_socket():
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return type(error).__name__
    return ANSWERED


def main() -> None:
    asked = json.load(sys.stdin)
    "localhost".encode("idna")  # what connections would import, too late
    grpc.insecure_channel("unix:/nowhere").close()
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    found = {path: opened(path) for path in asked.get("paths", ())}
    if "grpc" in asked:
        found |= grpc_calls(asked["grpc"], asked.get("headers", {}))
    if "http" in asked:
        found |= http_calls(asked["http"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
