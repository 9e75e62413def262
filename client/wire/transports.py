"""Inferences on one server, each by the transport that suits it.

docs/client.md has the table and the measurements. A request that shared memory can't take travels by the others: what
goes wrong on the way to a better transport is not the caller's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from client.contract import Model
from client.errors import WireError
from client.shared_memory import SharedMemory
from client.wire.bidi import BrokenStream, InferenceStream, Refusal
from client.wire.messages import (
    MessageError,
    decode_response,
    encode_request,
    encode_shared_request,
    read_response,
    shared_bytes,
)
from client.wire.statuses import QUEUE_FULL, QUEUE_TIMEOUT, cause

UNARY, STREAM, SHARED_MEMORY, AUTO = "unary", "stream", "shared-memory", "auto"
TRANSPORTS = (AUTO, UNARY, STREAM, SHARED_MEMORY)
STREAM_BYTES = 1 << 20
"""Requests of this size and more go over a stream with `auto`: it saves CPU there."""
SHARED_BYTES = 64 << 10
"""Requests whose inputs have this size and more go by shared memory with `auto`, on a server of this machine."""
_NEVER = 1 << 62

Rows = Sequence[Mapping[str, NDArray[Any]]]
Outputs = dict[str, NDArray[Any]]
Unary = Callable[[bytes, float], Awaitable[bytes]]
"""Request and timeout in seconds → response. Raises WireError."""


class Inferences:
    """Of one server. transport: one of TRANSPORTS. shared: None where it can't be, traced: whether every request needs
    headers of its own, which a stream can't give. bytes_sent and bytes_received count messages. unary_only: whether the
    server turned out to have neither of the other ways."""

    def __init__(
        self,
        address: str,
        unary: Unary,
        stream: InferenceStream,
        shared: SharedMemory | None,
        transport: str,
        traced: bool,
    ) -> None:
        self._address = address
        self._unary = unary
        self._stream = stream
        self._shared = shared
        self._stream_bytes = {AUTO: STREAM_BYTES, STREAM: 0}.get(transport, _NEVER) if not traced else _NEVER
        self._shared_bytes = {AUTO: SHARED_BYTES, SHARED_MEMORY: 1}.get(transport, _NEVER)
        self._request_ids = itertools.count(1)
        self.bytes_sent = self.bytes_received = 0
        self.unary_only = False

    async def infer(self, model: Model, rows: Rows, timeout_s: float) -> Outputs:
        """As `Connection.infer`."""
        request_id = str(next(self._request_ids))
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            answered = None
            shared = None if self.unary_only else self._shared
            if shared is not None and (nbytes := shared_bytes(model, len(rows))) >= self._shared_bytes:
                answered = await self._by_shared_memory(shared, model, rows, nbytes, request_id, deadline)
            if answered is None:
                answered = await self._by_message(model, rows, request_id, deadline)
        except MessageError as error:
            raise WireError("UNIMPLEMENTED", str(error), self._address) from error
        answered_id, outputs = answered
        if answered_id != request_id and not (self.unary_only and answered_id == ""):
            raise WireError("INTERNAL", f"request {request_id} was answered with the id {answered_id!r}", self._address)
        return outputs

    async def _by_message(self, model: Model, rows: Rows, request_id: str, deadline: float) -> tuple[str, Outputs]:
        timeout_s = _left_s(deadline)
        request = encode_request(model, rows, request_id, _microseconds(timeout_s))
        self.bytes_sent += len(request)
        if self.unary_only or len(request) < self._stream_bytes:
            return await self._by_unary(request, timeout_s)
        try:
            response, nbytes = await self._stream.ask(request_id, request, timeout_s)
        except Refusal:
            return await self._by_unary(request, timeout_s)  # which tells the status of the refusal, or answers
        except TimeoutError:
            raise WireError("DEADLINE_EXCEEDED", f"no answer in {timeout_s:g} s", self._address) from None
        except BrokenStream as error:
            raise WireError(error.status, error.message, self._address) from error
        self.bytes_received += nbytes
        return read_response(response)

    async def _by_unary(self, request: bytes, timeout_s: float) -> tuple[str, Outputs]:
        response = await self._unary(request, timeout_s)
        self.bytes_received += len(response)
        return decode_response(response)

    async def _by_shared_memory(
        self, shared: SharedMemory, model: Model, rows: Rows, nbytes: int, request_id: str, deadline: float
    ) -> tuple[str, Outputs] | None:
        """None if there is no slot, or the server forgot the region twice: a restarted one knows no region."""
        final = model.one_step_at_a_time
        for _ in range(2):
            with await shared.slot(nbytes, _left_s(deadline), errors_are_final=final) as slot:
                if slot is None:
                    return None
                timeout_s = _left_s(deadline)
                place = (slot.slab.name, slot.offset, slot.memory)
                request = encode_shared_request(model, rows, request_id, _microseconds(timeout_s), place)
                self.bytes_sent += len(request)
                try:
                    answer = await self._by_unary(request, timeout_s)
                except WireError as error:
                    # The name is ours alone and unguessable: an error that has it is about the region, not the rows.
                    if slot.slab.name in error.message:
                        shared.lost(slot)
                        continue
                    slot.done = final and cause(error.status, error.message) in (QUEUE_FULL, QUEUE_TIMEOUT)
                    raise
                slot.done = True
                return answer
        return None


def _left_s(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())


def _microseconds(timeout_s: float) -> int:
    return max(1, round(timeout_s * 1e6))
