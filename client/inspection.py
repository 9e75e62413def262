"""What a server says of its models, the failed ones above all, in words that say what to do.

Unlike the handshake it does not wait for readiness: a server that loads half of its models is what it is for.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path

from client import contract
from client.errors import ServerError
from client.golden import Asked, Difference, cycled, worst
from client.handshake import shake_hands
from client.wire import Connection, IndexEntry, Security, ServedModel, WireError

CALL_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 600.0
"""A full batch of a large model takes minutes on a few cores."""
ENGINE = "engine."  # parameters of a config that tell of an engine, by compute capability
NAMES = (*contract.LEAVES, *contract.ENSEMBLES)

# TensorRT's and Triton's own wordings; the first that matches explains. The reason itself is always shown beside it.
EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"incompatible device|expecting compute",
        "its plan was built on another kind of GPU: build one here with `selector export --runtime tensorrt --reuse REPO`",
    ),
    (
        r"version of TensorRT|expecting library version|serializationVersion|Version tag does not match",
        "its plan was built by another TensorRT than this server's: build it inside this server's container with "
        "`selector export --runtime tensorrt --reuse REPO`",
    ),
    (
        r"(unable to find|No such file|failed to stat|unable to load).*\.plan",
        "it has no plan for this kind of GPU: build one here with `selector export --runtime tensorrt --reuse REPO`",
    ),
    (
        r"out of memory|OutOfMemory|cudaErrorMemoryAllocation",
        "the GPU has no memory left: fewer instances or a smaller --max-batch",
    ),
    (
        r"unable to create TensorRT engine",
        "TensorRT can't load its plan, mostly for being built by another version or on another kind of GPU; the server's "
        "log has its words",
    ),
    (
        r"unable to find backend|backend library|failed to load.*backend|no such backend",
        "the server has no such backend: the full container has onnxruntime and tensorrt",
    ),
    (r"depends on|dependenc|ensemble", "a model that it is composed of did not load: see that one"),
    (r"model\.onnx", "its graph is missing, damaged or not as its config.pbtxt declares: export the repository again"),
)


@dataclass(frozen=True)
class ModelFinding:
    """One model of the contract. detail: how it is served, or why it is not."""

    name: str
    ready: bool
    detail: str


@dataclass(frozen=True)
class Inspection:
    """What one server says. name, version: its own. models: the contract's, in its order."""

    name: str
    version: str
    models: tuple[ModelFinding, ...]

    @property
    def software(self) -> str:
        """Its name and version, as far as it has them."""
        return " ".join(filter(None, (self.name, self.version))) or "a server"


async def inspect(address: str, security: Security) -> Inspection:
    """Asks the server at HOST:PORT for every model of the contract. Raises ServerError if it does not answer."""
    connection = Connection(address, security)
    try:
        return await inspected(connection)
    finally:
        await connection.close()


async def inspected(connection: Connection) -> Inspection:
    """What the server behind a connection says of every model of the contract; raises ServerError."""
    try:
        name, version = await connection.software(CALL_TIMEOUT_S)
        if not await connection.has_configs(contract.UNET, CALL_TIMEOUT_S):
            return Inspection(name, version, await _by_core_protocol(connection))
        index = {entry.name: entry for entry in await connection.index(CALL_TIMEOUT_S)}
        ready = [name for name in NAMES if name in index and index[name].state == "READY"]
        served = {name: await connection.model(name, CALL_TIMEOUT_S) for name in ready}
    except WireError as error:
        raise ServerError(f"the server can't say what it serves: {error}") from error
    findings = (
        ModelFinding(name, True, describe(served[name])) if name in served else _failed(name, index.get(name))
        for name in NAMES
    )
    return Inspection(name, version, tuple(findings))


async def _by_core_protocol(connection: Connection) -> tuple[ModelFinding, ...]:
    """Of a server without Triton's extensions, which may leave ensembles to the client."""
    ready = await asyncio.gather(*(connection.model_ready(name, CALL_TIMEOUT_S) for name in NAMES))
    return tuple(
        ModelFinding(name, is_ready or name in contract.ENSEMBLES, _core_detail(name, is_ready))
        for name, is_ready in zip(NAMES, ready, strict=True)
    )


def _core_detail(name: str, ready: bool) -> str:
    if ready:
        return "ready; this server can't say more of it"
    if name in contract.ENSEMBLES:
        return "not there: the client asks its steps one after another"
    return "not there, or not ready: serve it under this name"


@dataclass(frozen=True)
class Answers:
    """How a model answered its golden rows. worst: the largest difference beside what it may be, None for a model without golden
    rows; batches: the sizes of the requests."""

    name: str
    worst: Difference | None
    batches: tuple[int, ...]


async def answers(address: str, security: Security, repository: Path | None = None) -> tuple[Answers, ...]:
    """Asks every model of the server at HOST:PORT its golden rows, each alone and all in its largest batch.

    repository: what the server is said to serve. Raises ServerError if it does not answer, ContractError if it serves something
    else.
    """
    connection = Connection(address, security)
    try:
        served = await shake_hands(connection, CALL_TIMEOUT_S, repository)
        asked = Asked(connection, served.models, served.golden, served.batches, ANSWER_TIMEOUT_S, CALL_TIMEOUT_S)
        return tuple([await _answers(asked, name) for name in NAMES])
    finally:
        await connection.close()


async def _answers(asked: Asked, name: str) -> Answers:
    if name not in asked.golden:
        return Answers(name, None, ())
    golden, most = asked.golden[name], asked.batches[name]
    batches = [[row] for row in range(golden.rows)] + ([cycled(golden, most)] if most > 1 else [])
    found = [one for rows in batches for one in await asked.differences(name, rows)]
    return Answers(name, worst(found), tuple(sorted({len(rows) for rows in batches})))


def explain(reason: str) -> str:
    """The server's reason for a failed load, and before it what that means; the reason alone where nothing is known."""
    for pattern, meaning in EXPLANATIONS:
        if re.search(pattern, reason, re.IGNORECASE):
            return f"{meaning} (the server: {reason})"
    return reason


def describe(model: ServedModel) -> str:
    """Backend, batch size and engines of a model that is ready."""
    parts = [model.backend, f"up to {model.max_batch} rows"]
    if model.plans:
        parts += [_engine(capability, model.parameters.get(f"{ENGINE}{capability}")) for capability in model.plans]
    return ", ".join(parts)


def _engine(capability: str, told: str | None) -> str:
    if told is None:
        return f"plan for {capability} that no exporter of this project wrote"
    values = json.loads(told)
    return f"plan for {capability} by {values.get('builder')} on {values.get('gpu')}, {str(values.get('sha256'))[:12]}"


def _failed(name: str, entry: IndexEntry | None) -> ModelFinding:
    if entry is None:
        return ModelFinding(name, False, "not in the server's repository: it was not written by `selector export`")
    reason = entry.reason or "the server gives no reason; mostly a model that it is composed of did not load"
    return ModelFinding(name, False, explain(reason))
