"""What a server must be before the first row is sent to it: ready, and of exactly the contract's seven models.

A server with Triton's extensions says what it serves. For another one a repository does (core_protocol.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from client import contract
from client.contract import INDEX_RANGE, Geometry, Identity, Model, Tensor
from client.core_protocol import read_said
from client.errors import ContractError, ServerError
from client.golden import Golden, golden_of
from client.repository import read_identity
from client.wire import Connection, ServedModel, WireError, advice

POLL_S = 0.1
CALL_TIMEOUT_S = 10.0
LATE_S = 3.0
"""How much later than the first a server may be at the start."""


@dataclass(frozen=True)
class Served:
    """What one server serves. max_batch: rows that every model takes in one request; batches: what each takes.
    instances: of the UNet. golden: golden rows by model, of those that have some. core_only: whether it has none of Triton's
    extensions, so that a repository said all this in its place; chained: ensembles that it does not have, and that are asked
    step by step."""

    version: str
    geometry: Geometry
    identity: Identity
    models: Mapping[str, Model]
    max_batch: int
    batches: Mapping[str, int]
    instances: int
    golden: Mapping[str, Golden]
    core_only: bool = False
    chained: frozenset[str] = field(default_factory=frozenset)


Confirm = Callable[[Connection, Served], Awaitable[None]]
"""Raises ContractError if a server does not answer as it should, ServerError if it does not answer."""


async def meet(
    connections: Sequence[Connection], deadline_s: float, confirm: Confirm, repository: Path | None = None
) -> dict[Connection, Served | ServerError]:
    """What each server serves, or why it is not there; once one is there, the others have LATE_S.

    repository: as in `shake_hands`. Raises the first one's ServerError if none is there within deadline_s, ContractError as
    `shake_hands` and `confirm`.
    """

    async def one(connection: Connection) -> Served | ServerError:
        try:
            served = await shake_hands(connection, deadline_s, repository)
            await connection.open_transport(deadline_s)
            await confirm(connection, served)
        except ServerError as error:
            return error
        return served

    tasks = {connection: asyncio.create_task(one(connection)) for connection in connections}
    try:
        pending = set(tasks.values())
        while pending and not any(isinstance(task.result(), Served) for task in tasks.values() if task.done()):
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending, timeout=LATE_S)
        met = {c: task.result() if task.done() else _late(c) for c, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    if all(isinstance(one, ServerError) for one in met.values()):
        raise next(one for one in met.values() if isinstance(one, ServerError))
    return met


def _late(connection: Connection) -> ServerError:
    return ServerError(f"the server at {connection.address} was not ready {LATE_S:g} s after another one")


async def shake_hands(connection: Connection, deadline_s: float, repository: Path | None = None) -> Served:
    """Waits until the server is ready, reads its models, compares them with the contract, and adapts the connection to them.

    repository: what it is said to serve, without which a server that can't say it is refused. Raises ServerError if it is not
    ready within deadline_s, ContractError with expected against served.
    """
    await _await_ready(connection, deadline_s)
    try:
        version = await connection.version(CALL_TIMEOUT_S)
        core_only = not await connection.has_configs(contract.UNET, CALL_TIMEOUT_S)
        if core_only:
            found, chained = await read_said(connection, repository, CALL_TIMEOUT_S)
        else:
            found, chained = await _read_models(connection), frozenset()
    except WireError as error:
        raise ServerError(f"the server can't say what it serves: {error}") from error
    identity = contract.identity_from_parameters({leaf: found[leaf].parameters for leaf in contract.LEAVES})
    if repository is not None and not core_only:
        _compare_identity(identity, repository, connection.address)
    geometry = _geometry(found, identity)
    models = contract.models(geometry)
    for name, model in models.items():
        _compare(model, found[name])
    connection.adapt(models, core_only=core_only, chained=chained)
    return Served(
        version=version,
        geometry=geometry,
        identity=identity,
        models=models,
        max_batch=min(served.max_batch for served in found.values()),
        batches={name: _max_batch(name, found) for name in found},
        instances=found[contract.UNET].instances,
        golden=_golden(found),
        core_only=core_only,
        chained=chained,
    )


def _golden(found: Mapping[str, ServedModel]) -> dict[str, Golden]:
    golden = {}
    for name, served in found.items():
        try:
            one = golden_of(served.parameters)
        except ContractError as error:
            raise ContractError(f"model {name!r}: {error}") from None
        if one is not None:
            golden[name] = one
    return golden


def _compare_identity(served: Identity, repository: Path, address: str) -> None:
    """How many draws are taken first, and which, is no matter of the server's answers: calibration writes that anew."""
    said = replace(read_identity(repository), draw_order=(), auto_draws=0).as_dict()
    for name, value in replace(served, draw_order=(), auto_draws=0).as_dict().items():
        if value != said[name]:
            raise ContractError(
                f"the server at {address} does not serve {repository}, as --repository says beside --server: {name}: expected "
                f"{said[name]}, served {value}; leave --repository out, or name what it serves"
            )


def _max_batch(name: str, found: Mapping[str, ServedModel]) -> int:
    """An ensemble takes no more than the least of its steps."""
    return min(found[name].max_batch, *(found[step.model].max_batch for step in found[name].steps), 1 << 30)


async def _await_ready(connection: Connection, deadline_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    reason = "it says that it is not ready (do all its models load?)"
    while True:
        try:
            if await connection.ready(max(POLL_S, deadline - loop.time())):
                return
        except WireError as error:
            what_to_do, passes = advice(error.message, tls=connection.encrypted)
            reason = f"{error}; {what_to_do}" if what_to_do else str(error)
            if not passes:
                raise ServerError(f"the server at {connection.address} can't be used: {reason}") from error
        if loop.time() + POLL_S > deadline:
            raise ServerError(f"the server at {connection.address} was not ready within {deadline_s:g} s: {reason}")
        await asyncio.sleep(POLL_S)


async def _read_models(connection: Connection) -> dict[str, ServedModel]:
    names = (*contract.LEAVES, *contract.ENSEMBLES)
    served = await connection.model_names(CALL_TIMEOUT_S)
    missing = [name for name in names if name not in served]
    if missing:
        raise ContractError(
            f"the server at {connection.address} lacks the models {', '.join(missing)}; "
            f"it serves {', '.join(served) or 'none'}: point it at a repository written by `selector export`"
        )
    configs = await asyncio.gather(*(connection.model(name, CALL_TIMEOUT_S) for name in names))
    return {config.name: config for config in configs}


def _geometry(found: Mapping[str, ServedModel], identity: Identity) -> Geometry:
    image = _tensor(found[contract.VAE_ENCODER], "IMAGE", rank=3)
    latent = _tensor(found[contract.VAE_ENCODER], "LATENT", rank=3)
    cond = _tensor(found[contract.PROMPT_EMBEDDING], "COND", rank=2)
    outputs = found[contract.PROMPT_EMBEDDING].outputs
    pooled = next((tensor.shape[0] for tensor in outputs if tensor.name == "COND_POOLED"), 0)
    return Geometry(
        resolution=image.shape[0],
        latent=(latent.shape[0], latent.shape[1], latent.shape[2]),
        prompt=(cond.shape[0], cond.shape[1]),
        feature=_tensor(found[contract.DIFT], "FEATURE", rank=1).shape[0],
        draws=identity.draws,
        classes=len(identity.classes),
        pooled=pooled,
        cond_datatype=cond.datatype,
    )


def _tensor(model: ServedModel, name: str, *, rank: int) -> Tensor:
    for tensor in (*model.inputs, *model.outputs):
        if tensor.name == name and len(tensor.shape) == rank:
            return tensor
    raise ContractError(f"model {model.name!r}: expected a tensor {name} of {rank} dims, served {_listing(model)}")


def _compare(model: Model, served: ServedModel) -> None:
    if served.max_batch < 1:
        raise ContractError(f"model {model.name!r}: expected a max_batch_size of at least 1, served {served.max_batch}")
    ranges = tuple(sorted((name, f"{least},{greatest}") for name, least, greatest in model.index_ranges))
    # An ensemble's ranges are checked by its leaves; only theirs are written into the configs.
    served_ranges = tuple(
        sorted((k.removeprefix(INDEX_RANGE), v) for k, v in served.parameters.items() if k.startswith(INDEX_RANGE))
    )
    for what, expected, found in (
        ("inputs", _by_name(model.inputs), _by_name(served.inputs)),
        ("outputs", _by_name(model.outputs), _by_name(served.outputs)),
        ("steps", _steps(model), _steps(served)),
        ("index ranges", () if model.steps else ranges, served_ranges),
    ):
        if expected != found:
            raise ContractError(f"model {model.name!r}: {what}: expected {_text(expected)}, served {_text(found)}")


def _by_name(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(sorted(tensors, key=lambda tensor: tensor.name))


def _steps(model: Model | ServedModel) -> tuple[contract.Step, ...]:
    return tuple(
        replace(step, input_map=tuple(sorted(step.input_map)), output_map=tuple(sorted(step.output_map)))
        for step in sorted(model.steps, key=lambda step: step.model)
    )


def _listing(model: ServedModel) -> str:
    return _text((*model.inputs, *model.outputs))


def _text(items: tuple[object, ...]) -> str:
    texts = (f"{i.name} {i.datatype} {list(i.shape)}" if isinstance(i, Tensor) else str(i) for i in items)
    return "; ".join(texts) or "none"
