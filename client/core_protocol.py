"""What a server serves that can't say it: one with the core of the Open Inference Protocol and without Triton's extensions.

A repository says it in its place. What the core protocol does tell, readiness and tensors, is compared with that; the golden
rows of the repository then show whether the answers are its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

from client import contract
from client.contract import Tensor
from client.errors import ContractError
from client.golden import USED, golden_of
from client.repository import read_models
from client.wire import Connection, ServedModel, WireError

_ANY = -1
"""A dimension that metadata leave open."""


async def read_said(
    connection: Connection, repository: Path | None, timeout_s: float
) -> tuple[dict[str, ServedModel], frozenset[str]]:
    """The models that `repository` says are served, and those of its ensembles that the server does not have.

    Raises ContractError if there is no repository or it has no golden rows, if a leaf is missing, or if the server's metadata
    say something else; WireError.
    """
    software = " ".join(filter(None, await connection.software(timeout_s))) or "no name"
    if repository is None:
        raise ContractError(
            f"the server at {connection.address} ({software}) can't say what it serves, since it has no ModelConfig: name the "
            "repository that its models are from, with --repository DIR beside --server (ClientConfig.repository)"
        )
    said = read_models(repository)
    unproven = [name for name in USED if golden_of(said[name].parameters) is None]
    if unproven:
        raise ContractError(
            f"{repository} has no golden rows of {', '.join(unproven)}, and nothing else shows that the server at "
            f"{connection.address} ({software}) serves it: selector export --reuse {repository} adds them"
        )
    ready = await asyncio.gather(*(connection.model_ready(name, timeout_s) for name in said))
    there = [name for name, is_ready in zip(said, ready, strict=True) if is_ready]
    missing = [name for name in contract.LEAVES if name not in there]
    if missing:
        raise ContractError(
            f"the server at {connection.address} ({software}) does not have the models {', '.join(missing)} of {repository}, or "
            "they are not ready: serve its four leaves under their own names"
        )
    told = await asyncio.gather(*(_told(connection, name, timeout_s) for name in there))
    for name, tensors in zip(there, told, strict=True):
        _compare(said[name], tensors, connection.address)
    return said, frozenset(contract.ENSEMBLES) - frozenset(there)


async def _told(connection: Connection, name: str, timeout_s: float) -> Sequence[Tensor]:
    try:
        return await connection.tensors(name, timeout_s)
    except WireError as error:
        if error.status == "UNIMPLEMENTED":
            return ()
        raise


def _compare(said: ServedModel, told: Collection[Tensor], address: str) -> None:
    """Metadata may list nothing, and leave dimensions open; what they do say must hold."""
    tensors = {tensor.name: tensor for tensor in (*said.inputs, *said.outputs)}
    for tensor in told:
        expected = tensors.get(tensor.name)
        if expected is None or tensor.datatype != expected.datatype or not _fits(tensor.shape, expected.shape):
            wanted = "none of this name" if expected is None else f"{expected.datatype} [n, {_dims(expected.shape)}]"
            raise ContractError(
                f"model {said.name!r} at {address}: tensor {tensor.name}: expected {wanted}, the server's metadata say "
                f"{tensor.datatype} [{_dims(tensor.shape)}]"
            )


def _fits(told: tuple[int, ...], row: tuple[int, ...]) -> bool:
    """Whether a shape with the batch as its dim 0 may be that of rows of this shape."""
    return len(told) == len(row) + 1 and all(a in (_ANY, b) for a, b in zip(told[1:], row, strict=True))


def _dims(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
