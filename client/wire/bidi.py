"""Many inferences over one bidirectional stream (ModelStreamInfer), each matched to its answer by id.

It pays where messages are large (docs/client.md has the table). What a stream can't do, unary does: a refusal comes as
text without a status, and one request can't be cancelled alone, so an answer that nobody waits for any more is dropped
when it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

Waiting = dict[str, asyncio.Future[tuple[Any, int]]]
"""By the ids of requests that were written, what will be their answers and the bytes of these."""


class Refusal(Exception):
    """The server's text of why it did not answer one request. Asked again by a unary call, it says the status as well."""


class BrokenStream(Exception):
    """The stream ended under its requests. status, message: gRPC's."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class InferenceStream:
    """Opens its call with the first request, and again with the first one after it broke. open_call: makes the call."""

    def __init__(self, open_call: Callable[[], Any]) -> None:
        self._open_call = open_call
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._waiting: Waiting = {}
        """Of the call that is open. Each call has its own: a broken one may be read to its end after the next is opened."""

    async def ask(self, request_id: str, request: bytes, timeout_s: float) -> tuple[Any, int]:
        """The ModelInferResponse to a serialised request, and its bytes.

        Raises TimeoutError, Refusal, or BrokenStream.
        """
        async with asyncio.timeout(timeout_s):
            answer: asyncio.Future[tuple[Any, int]] = asyncio.get_running_loop().create_future()
            waiting: Waiting = {}
            try:
                async with self._writing:
                    call, waiting = self._opened()
                    waiting[request_id] = answer
                    await _write(call, request)
                return await answer
            finally:
                waiting.pop(request_id, None)
                if answer.done() and not answer.cancelled():
                    answer.exception()  # it may have broken while it was written

    async def close(self) -> None:
        """Ends the call; whoever waits is told."""
        reader, self._reader = self._reader, None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def _opened(self) -> tuple[Any, Waiting]:
        if self._call is None or self._call.done():
            self._call, self._waiting = self._open_call(), {}
            self._reader = asyncio.create_task(self._read(self._call, self._waiting))
        return self._call, self._waiting

    async def _read(self, call: Any, waiting: Waiting) -> None:
        broken = BrokenStream("CANCELLED", "the stream was cancelled")
        try:
            while (content := await call.read()) is not grpc.aio.EOF:
                _hand_over(waiting, service_pb2.ModelStreamInferResponse.FromString(content), len(content))
            broken = BrokenStream("UNAVAILABLE", "the server ended the stream")
        except grpc.aio.AioRpcError as error:
            broken = _broken(error)
        except DecodeError as error:
            broken = BrokenStream("UNAVAILABLE", f"the stream carried no ModelStreamInferResponse: {error}")
            call.cancel()
        finally:
            if self._call is call:
                self._call = None
            _fail_all(waiting, broken)


async def _write(call: Any, request: bytes) -> None:
    try:
        await call.write(request)
    except grpc.aio.AioRpcError as error:
        raise _broken(error) from error
    except asyncio.InvalidStateError as error:  # it ended between two requests
        raise BrokenStream("UNAVAILABLE", f"the stream has ended: {error}") from error


def _broken(error: grpc.aio.AioRpcError) -> BrokenStream:
    """How a stream ended. INTERNAL is what gRPC itself may say of an ended call; a server says it of requests, in the stream."""
    status = error.code().name
    return BrokenStream("UNAVAILABLE" if status == "INTERNAL" else status, error.details() or "no details")


def _hand_over(waiting: Waiting, message: Any, nbytes: int) -> None:
    if message.error_message and not message.infer_response.id:
        _fail_all(waiting, Refusal(message.error_message))
        return
    answer = waiting.get(message.infer_response.id)
    if answer is None or answer.done():
        return  # given up meanwhile
    if message.error_message:
        answer.set_exception(Refusal(message.error_message))
    else:
        answer.set_result((message.infer_response, nbytes))


def _fail_all(waiting: Waiting, error: Exception) -> None:
    for answer in waiting.values():
        if not answer.done():
            answer.set_exception(error)
