"""Golden rows are sent to a server, and its answers are compared with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from client import contract
from client.contract import Model
from client.errors import ClientError, ContractError, ServerError, WireError
from client.golden.record import Difference, Golden, compare, cycled, inputs
from client.wire import Connection, Remedy, remedy

USED = (contract.VAE_ENCODER, contract.NOISE_LOSS, contract.PATCH_FEATURES)
"""The models that rows are sent to; what they are composed of is all the rest."""
PAUSE_S = 0.2
REFUSED = ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")
"""What a server says that does not have the model, or whose model takes other rows."""

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Asked:
    """A server's models and their golden rows by name. batches: rows that each takes in a request. attempt_s: patience with one
    request; deadline_s: with a request that is refused for a while, as by a full queue."""

    connection: Connection
    models: Mapping[str, Model]
    golden: Mapping[str, Golden]
    batches: Mapping[str, int]
    attempt_s: float
    deadline_s: float

    async def confirm(self, names: Sequence[str] = USED) -> None:
        """Sends one request of different golden rows to each of these models that has some.

        Raises ContractError that names the model, the tensor and the difference; ServerError if there is no answer.
        """
        for name in names:
            if name not in self.golden:
                continue
            wrong, mixed = await self._first_rows(name)
            if wrong is not None:
                steps = dict.fromkeys(step.model for step in self.models[name].steps)
                parts = [part for part in steps if await self._at_fault(part)]
                raise ContractError(self._told(name, wrong, mixed, parts))

    async def differences(self, name: str, rows: Sequence[int]) -> tuple[Difference, ...]:
        """What compare says of one request of these golden rows."""
        return compare(self.golden[name], await self._answer(name, rows), rows)

    async def _at_fault(self, part: str) -> bool:
        """Whether a part of an ensemble that is wrong is known to be wrong itself."""
        try:
            return part in self.golden and (await self._first_rows(part))[0] is not None
        except ClientError:  # the ensemble's own difference is what is to be told
            return False

    async def _first_rows(self, name: str) -> tuple[Difference | None, bool]:
        """The worst difference that is not allowed, and whether it is all because rows were answered for one another."""
        golden = self.golden[name]
        rows = cycled(golden, min(golden.rows, self.batches[name]))
        outputs = await self._answer(name, rows)
        wrong = worst(compare(golden, outputs, rows))
        return (None, False) if wrong.allowed else (wrong, _mixed_up(golden, outputs, rows))

    async def _answer(self, name: str, rows: Sequence[int]) -> Outputs:
        model, clock = self.models[name], asyncio.get_running_loop().time
        arrays = inputs(self.golden[name], model, rows)
        sent = [{tensor: array[place] for tensor, array in arrays.items()} for place in range(len(rows))]
        deadline, failed = clock() + self.deadline_s, 0
        while True:
            try:
                return await self.connection.infer(model, sent, self.attempt_s)
            except WireError as error:
                what = remedy(error.status, error.message)
                failed += what is Remedy.ISOLATE  # the model itself may fail, and would again
                if what is Remedy.STOP or failed > 1 or clock() + PAUSE_S > deadline:
                    kind = ContractError if error.status in REFUSED else ServerError
                    raise kind(f"{name} does not answer its golden rows: {error}") from error
            await asyncio.sleep(PAUSE_S)

    def _told(self, name: str, wrong: Difference, mixed: bool, parts: Sequence[str]) -> str:
        address = self.connection.address
        what = f"the server at {address} answers the golden rows of {name!r} wrongly: {told(wrong)}"
        if mixed:
            what += "; it answers rows of a batch for one another"
        if parts:
            what += f"; of its parts: {', '.join(parts)}"
        return (
            f"{what}. It serves another engine, other weights or another precision than its configuration says: "
            f"selector doctor --server {address} compares every model, docs/client.md says what to do"
        )


def worst(differences: Sequence[Difference]) -> Difference:
    """The one that is largest beside what it may be."""
    return max(differences, key=lambda one: one.size / one.tolerance)


def told(one: Difference) -> str:
    """A difference in words."""
    return f"{one.tensor} of row {one.row} is off by {one.size:.2g} of its size, {one.tolerance:.2g} is allowed"


def _mixed_up(golden: Golden, outputs: Outputs, rows: Sequence[int]) -> bool:
    """Whether every row is answered as some golden row should be."""
    alone = [{name: array[place : place + 1] for name, array in outputs.items()} for place in range(len(rows))]
    return all(any(worst(compare(golden, one, [row])).allowed for row in range(golden.rows)) for one in alone)
