"""What is there and what is missing on this machine, and on servers, in plain words."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.contract import Identity
from client.embedded.devices import mixed_installation
from client.embedded.wheel import embedded_problem
from client.errors import ClientError, ContractError
from client.golden import told
from client.inspection import answers, inspect
from client.repository import read_identity
from client.scoring import ClientConfig, ScoringClient
from client.wire import Security, advisory, look_at
from selector.builtin import builtin_repository, builtin_scenes

_SHM_WANTED = 256 << 20
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Finding:
    """One thing looked for; `needed` says whether the main command can't do without it."""

    what: str
    ok: bool
    detail: str
    needed: bool = False


def examine(
    servers: tuple[str, ...] = (), security: Security | None = None, repository: Path | None = None
) -> list[Finding]:
    """Looks at this machine and, if given, at a repository and at running servers, which are said to serve it.

    Without servers the embedded one is needed.
    """
    embedded = not servers
    findings = [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            f"{platform.python_version()} on {platform.platform()}",
            True,
        ),
        _embedded(embedded),
        _libpython(embedded),
        _shared_memory(embedded),
        _present("built-in repository", builtin_repository().is_dir, str(builtin_repository()), embedded),
        _present("built-in scenes", builtin_scenes().is_file, str(builtin_scenes()), False),
        _onnxruntime(),
        _module("torch", "needed by export and evaluate alone: pip install 'diffusion-selector[export]'"),
        _module("diffusers", "needed by export alone: pip install 'diffusion-selector[export]'"),
        _module("tensorrt", "needed to build plans, inside the serving container on the GPU"),
        _module("tensorrt_rtx_bindings", "needed to preflight engines without a GPU"),
    ]
    if repository is not None:
        findings.append(_repository(repository))
    return findings + [finding for server in servers for finding in _server(server, security or Security(), repository)]


def _repository(folder: Path) -> Finding:
    try:
        return Finding(f"repository {folder}", True, _of_pipeline(read_identity(folder)), True)
    except ContractError as error:
        return Finding(f"repository {folder}", False, str(error), True)


def _of_pipeline(identity: Identity) -> str:
    return (
        f"pipeline {identity.pipeline[:12]}, {len(identity.classes)} classes, {identity.resolution} px, {identity.precision}, "
        f"{identity.draws} draws"
    )


def _embedded(needed: bool) -> Finding:
    problem = embedded_problem()
    return Finding("embedded Triton server", problem is None, problem or "can be started here", needed)


def _onnxruntime() -> Finding:
    if mixed := mixed_installation():
        return Finding("ONNX Runtime", False, mixed)
    try:
        import onnxruntime
    except ImportError as error:
        return Finding("ONNX Runtime", False, f"can't be imported: {error}")
    return Finding(
        "ONNX Runtime", True, f"{onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}"
    )


def _libpython(needed: bool) -> Finding:
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
    found = shared or platform.system() != "Linux"
    detail = (
        str(sysconfig.get_config_var("INSTSONAME"))
        if found
        else (
            "this Python has no shared libpython, which the server's python backend loads: use one built with --enable-shared"
        )
    )
    return Finding("shared libpython", found, detail, needed)


def _shared_memory(needed: bool) -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding("shared memory", False, "/dev/shm is not there", needed)
    enough = free >= _SHM_WANTED
    advice = "" if enough else f"; {_SHM_WANTED >> 20} MiB are wanted: enlarge it (docker run --shm-size)"
    return Finding("shared memory", enough, f"{free >> 20} MiB free in /dev/shm{advice}", needed)


def _present(what: str, there: Callable[[], bool], path: str, needed: bool) -> Finding:
    ok = there()
    return Finding(what, ok, path if ok else f"{path} is missing", needed)


def _module(name: str, purpose: str) -> Finding:
    try:
        found = importlib.util.find_spec(name) is not None
    except ValueError:  # a module that is half there has no spec
        found = False
    return Finding(name, found, "installed" if found else f"not installed; {purpose}")


def _server(server: str, security: Security, repository: Path | None) -> list[Finding]:
    """Reachable? Every model ready, and if not, why? Is it what the client needs?"""
    try:
        look_at((server,), security, lambda _: None)
        found = asyncio.run(inspect(server, security))
    except ClientError as error:
        return [Finding(f"server {server}", False, str(error), True)]
    models = [Finding(f"{server} {model.name}", model.ready, model.detail, True) for model in found.models]
    if known := advisory(server, found.version):
        models.insert(0, Finding(f"{server} security", False, known))
    if not all(model.ready for model in found.models):
        missing = sum(not model.ready for model in found.models)
        detail = f"{found.software} answers, {missing} of {len(models)} models are not ready"
        return [Finding(f"server {server}", False, detail, True), *models]
    return [_contract(server, security, repository, found.software), *models, *_answers(server, security, repository)]


def _contract(server: str, security: Security, repository: Path | None, software: str) -> Finding:
    # A full batch of golden rows of a large model takes minutes on a few cores.
    asked = ClientConfig(
        (server,),
        ready_s=10.0,
        security=security,
        attempt_s=_PATIENCE_S,
        deadline_s=_PATIENCE_S,
        repository=repository,
    )

    async def look() -> str:
        async with ScoringClient(asked) as client:
            return f"{software}, contract met; {_of_pipeline(client.identity)}, up to {client.max_batch} rows a request"

    try:
        return Finding(f"server {server}", True, asyncio.run(look()), True)
    except ContractError as error:
        return Finding(f"server {server}", False, f"not what the client needs: {error}", True)
    except ClientError as error:
        return Finding(f"server {server}", False, str(error), True)


def _answers(server: str, security: Security, repository: Path | None) -> list[Finding]:
    """Does every model answer its golden rows as it should?"""
    try:
        found = asyncio.run(answers(server, security, repository))
    except ClientError as error:
        return [Finding(f"{server} golden rows", False, str(error), True)]
    findings, without = [], [one.name for one in found if one.worst is None]
    for one in found:
        if one.worst is not None:
            detail = f"{told(one.worst)} (batches of {' and '.join(map(str, one.batches))})"
            findings.append(Finding(f"{server} answers of {one.name}", one.worst.allowed, detail, True))
    if without:
        detail = f"none of {', '.join(without)}, whose answers can't be checked: selector export --reuse REPO adds them"
        findings.append(Finding(f"{server} golden rows", False, detail))
    return findings
