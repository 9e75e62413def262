"""ModelInfer's two messages as bytes: a request from arrays, with one copy of each, and arrays from a response.

A request's tensors travel in it, or lie in shared memory and are only named by it.

Serialised protobuf fields may stand in any order and merge when joined, so a request is the constant part of its model
(made once by protobuf) and the tensors' bytes behind their own tags; protobuf itself would copy every tensor into its
message and out again. Numbers of the fields: KServe's grpc_predict_v2.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from client.contract import DTYPES, Model
from client.shared_memory import aligned

RAW_INPUT_TAG = b"\x3a"  # field 7, length-delimited
TYPED_CONTENTS = {"UINT8": "uint_contents", "INT32": "int_contents", "FP32": "fp32_contents"}
"""Where the numbers of an output lie that is not raw, by its datatype; there is no such place for FP16."""
LARGEST_INLINE = 64
"""Bytes of one row of an input that are not worth a place in shared memory: naming the place takes as many."""


class MessageError(Exception):
    """A response that is no ModelInferResponse, or not one of ours."""


def encode_request(model: Model, rows: Sequence[Mapping[str, NDArray[Any]]], request_id: str, timeout_us: int) -> bytes:
    """A ModelInferRequest of all rows. timeout_us: what the server's queues may spend on it."""
    own = service_pb2.ModelInferRequest(id=request_id)
    own.parameters["timeout"].int64_param = timeout_us
    parts: list[Any] = [_constant_part(model, len(rows)), own.SerializeToString()]
    for tensor in model.inputs:
        # A contiguous array's buffer is joined as it is: each row is copied once, into the message.
        arrays = [np.ascontiguousarray(row[tensor.name]) for row in rows]
        parts += (RAW_INPUT_TAG, varint(sum(array.nbytes for array in arrays)))
        parts += (array.data for array in arrays)
    return b"".join(parts)


def shared_bytes(model: Model, rows: int) -> int:
    """What the inputs of so many rows take of shared memory; 0 if all of them are too small for it."""
    return _places(model, rows)[1]


def encode_shared_request(
    model: Model,
    rows: Sequence[Mapping[str, NDArray[Any]]],
    request_id: str,
    timeout_us: int,
    slot: tuple[str, int, memoryview],
) -> bytes:
    """As `encode_request`, with the larger inputs written into shared memory, each row once.

    slot: name of the region, offset in it, and the `shared_bytes` there. Raises ValueError or TypeError for an array
    that is not as the model declares it.
    """
    region, start, memory = slot
    own = service_pb2.ModelInferRequest(id=request_id)
    own.parameters["timeout"].int64_param = timeout_us
    parts: list[Any] = [_constant_shared_part(model, len(rows), region, start), own.SerializeToString()]
    for tensor, place in zip(model.inputs, _places(model, len(rows))[0], strict=True):
        if place is None:
            arrays = [np.ascontiguousarray(row[tensor.name]) for row in rows]
            parts += (RAW_INPUT_TAG, varint(sum(array.nbytes for array in arrays)))
            parts += (array.data for array in arrays)
            continue
        arrays = [row[tensor.name] for row in rows]
        if any(array.shape != tensor.shape for array in arrays):
            raise ValueError(
                f"{tensor.name} has the shapes {[array.shape for array in arrays]}, expected {tensor.shape}"
            )
        target = np.frombuffer(memory, DTYPES[tensor.datatype], len(rows) * prod(tensor.shape), place)
        # Joined along their own first axis, the rows lie one after another: a new axis would cost a view of each.
        np.concatenate(arrays, out=target.reshape(-1, *tensor.shape[1:]), casting="no")
    return b"".join(parts)


def decode_response(content: bytes) -> tuple[str, dict[str, NDArray[Any]]]:
    """The request's id and its outputs: name → read-only array whose dim 0 is the row.

    Raises MessageError if the bytes are no complete response. protobuf reads it: finding the tensors in the bytes by
    hand saves two copies of what is small here, and took 31 µs where this takes 12.
    """
    try:
        response = service_pb2.ModelInferResponse.FromString(content)
    except DecodeError as error:
        raise MessageError(f"the response of {len(content)} bytes is no ModelInferResponse: {error}") from error
    return read_response(response)


def read_response(response: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """As `decode_response`, of a message that is parsed already.

    A server may write the values of its outputs as numbers of the message in place of raw bytes, for all outputs or for none.
    """
    tensors, contents = response.outputs, response.raw_output_contents
    if not contents:
        return response.id, {tensor.name: _typed_array(tensor) for tensor in tensors}
    if len(tensors) != len(contents):
        raise MessageError(f"the response declares {len(tensors)} outputs and carries {len(contents)}")
    return response.id, {t.name: _array(t, part) for t, part in zip(tensors, contents, strict=True)}


def varint(value: int) -> bytes:
    """Protobuf's base-128 encoding of a non-negative number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=256)
def _constant_part(model: Model, rows: int) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=model.name)
    for tensor in model.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=(rows, *tensor.shape))
    for tensor in model.outputs:
        request.outputs.add(name=tensor.name)
    return bytes(request.SerializeToString())


@lru_cache(maxsize=1024)  # slots lie at few offsets: the same ones are used again
def _constant_shared_part(model: Model, rows: int, region: str, start: int) -> bytes:
    request = service_pb2.ModelInferRequest.FromString(_constant_part(model, rows))
    for tensor, place in zip(request.inputs, _places(model, rows)[0], strict=True):
        if place is not None:
            tensor.parameters["shared_memory_region"].string_param = region
            tensor.parameters["shared_memory_offset"].int64_param = start + place
            tensor.parameters["shared_memory_byte_size"].int64_param = (
                prod(tensor.shape) * DTYPES[tensor.datatype].itemsize
            )
    return bytes(request.SerializeToString())


@lru_cache(maxsize=256)
def _places(model: Model, rows: int) -> tuple[tuple[int | None, ...], int]:
    """Where each input lies in a slot, None for those too small for it, and how long the slot is."""
    places: list[int | None] = []
    end = 0
    for tensor in model.inputs:
        nbytes = prod(tensor.shape) * DTYPES[tensor.datatype].itemsize
        places.append(end if nbytes > LARGEST_INLINE else None)
        end += aligned(rows * nbytes) if nbytes > LARGEST_INLINE else 0
    return tuple(places), end


def _array(tensor: Any, content: bytes) -> NDArray[Any]:
    dtype, shape = _dtype(tensor), tuple(tensor.shape)
    expected = prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected != len(content):
        raise MessageError(f"the output {tensor.name} {list(shape)} has {len(content)} bytes, expected {expected}")
    array: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape)
    return array


def _typed_array(tensor: Any) -> NDArray[Any]:
    dtype, shape = _dtype(tensor), tuple(tensor.shape)
    field = TYPED_CONTENTS.get(tensor.datatype)
    if field is None:
        raise MessageError(f"the output {tensor.name} has no raw contents, in which alone {tensor.datatype} can travel")
    values = np.array(getattr(tensor.contents, field), np.float64 if dtype.kind == "f" else np.int64)
    if min(shape, default=0) < 0 or len(values) != prod(shape):
        raise MessageError(f"the output {tensor.name} {list(shape)} has {len(values)} values in {field}")
    array: NDArray[Any] = values.astype(dtype).reshape(shape)
    if dtype.kind != "f" and not np.array_equal(array.ravel(), values):
        raise MessageError(f"the output {tensor.name} has values in {field} that are no {tensor.datatype}")
    array.flags.writeable = False
    return array


def _dtype(tensor: Any) -> np.dtype[Any]:
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise MessageError(f"the output {tensor.name} has the datatype {tensor.datatype}, which no model of ours has")
    return dtype
