"""The bytes of requests and responses, against protobuf's own encoder and parser."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from client import contract
from client.contract import DTYPES
from client.wire.messages import (
    TYPED_CONTENTS,
    MessageError,
    _places,
    decode_response,
    encode_request,
    encode_shared_request,
    shared_bytes,
    varint,
)
from tests.client.fake_triton import toy_rows
from tests.toy_repository import GEOMETRY

LOSS = contract.models(GEOMETRY)[contract.NOISE_LOSS]


def response() -> service_pb2.ModelInferResponse:
    """An answer to two rows as a server would build it."""
    message = service_pb2.ModelInferResponse(model_name="noise_loss", model_version="1", id="77")
    message.parameters["triton_final_response"].bool_param = True
    for name, shape in (("DELTA", (2, 4, 4)), ("LOSS_PROMPT", (2, 1)), ("LOSS_REFERENCE", (2, 1))):
        message.outputs.add(name=name, datatype="FP32", shape=shape)
        message.raw_output_contents.append(np.arange(np.prod(shape), dtype=np.float32).tobytes())
    return message


@pytest.mark.parametrize("count", [1, 2, 8])
def test_protobuf_reads_in_a_request_what_was_put_into_it(count: int) -> None:
    """Every field, and every tensor's bytes."""
    rows = [row.inputs for row in toy_rows(count)]
    request = service_pb2.ModelInferRequest.FromString(encode_request(LOSS, rows, "r1", 5_000_000))
    assert (request.model_name, request.id) == ("noise_loss", "r1")
    assert request.parameters["timeout"].int64_param == 5_000_000
    assert [(t.name, t.datatype, list(t.shape)) for t in request.inputs] == [
        (t.name, t.datatype, [count, *t.shape]) for t in LOSS.inputs
    ]
    assert [t.name for t in request.outputs] == [t.name for t in LOSS.outputs]
    for tensor, content in zip(LOSS.inputs, request.raw_input_contents, strict=True):
        assert content == np.stack([row[tensor.name] for row in rows]).tobytes()


def test_an_array_that_is_not_contiguous_is_sent_as_it_reads() -> None:
    """A transposed view's memory is in another order."""
    rows = [dict(toy_rows(1)[0].inputs)]
    rows[0]["LATENT"] = np.arange(48, dtype=np.float32).reshape(4, 4, 3).transpose(2, 0, 1)
    request = service_pb2.ModelInferRequest.FromString(encode_request(LOSS, rows, "r", 1))
    assert request.raw_input_contents[0] == rows[0]["LATENT"].tobytes()


@given(st.integers(0, 2**40))
def test_numbers_are_encoded_as_protobuf_encodes_them(value: int) -> None:
    """As the length of a field: tag 1 of a message with an int64."""
    assert service_pb2.InferParameter(int64_param=value).SerializeToString() == b"\x10" + varint(value)


def test_a_response_is_read_as_protobuf_reads_it() -> None:
    """Arrays are finite-checked views, so they must be aligned and read-only."""
    message = response()
    request_id, outputs = decode_response(message.SerializeToString())
    assert request_id == "77"
    for tensor, content in zip(message.outputs, message.raw_output_contents, strict=True):
        array = outputs[tensor.name]
        assert array.tobytes() == content
        assert array.shape == tuple(tensor.shape)
        assert array.flags.aligned
        assert not array.flags.writeable


@given(st.data())
def test_a_spoilt_response_is_an_error_or_of_the_declared_shape_but_never_a_crash(data: st.DataObject) -> None:
    """Cut anywhere, or one byte changed."""
    content = bytearray(response().SerializeToString())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        _, outputs = decode_response(bytes(content))
    except MessageError:
        return
    assert all(array.nbytes == np.prod(array.shape, dtype=int) * array.itemsize for array in outputs.values())


def test_outputs_that_do_not_fit_their_bytes_are_named() -> None:
    """Rather than reshaped by force."""
    message = response()
    message.outputs[0].shape[0] = 3
    with pytest.raises(MessageError, match=r"DELTA \[3, 4, 4\] has 128 bytes, expected 192"):
        decode_response(message.SerializeToString())
    del message.raw_output_contents[0]
    with pytest.raises(MessageError, match="declares 3 outputs and carries 2"):
        decode_response(message.SerializeToString())


TYPES = {
    "FP32": st.floats(width=32, allow_nan=True),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "UINT8": st.integers(0, 255),
}


@given(st.data())
def test_numbers_of_a_message_are_read_as_raw_bytes_would_be(data: st.DataObject) -> None:
    """Of every datatype that can be written so, and any shape."""
    typed = service_pb2.ModelInferResponse(id="7")
    raw = service_pb2.ModelInferResponse(id="7")
    for number in range(data.draw(st.integers(1, 3))):
        datatype = data.draw(st.sampled_from(sorted(TYPES)))
        shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
        values = data.draw(st.lists(TYPES[datatype], min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        tensor = typed.outputs.add(name=f"t{number}", datatype=datatype, shape=shape)
        getattr(tensor.contents, TYPED_CONTENTS[datatype]).extend(values)
        raw.outputs.add(name=f"t{number}", datatype=datatype, shape=shape)
        raw.raw_output_contents.append(np.array(values, DTYPES[datatype]).tobytes())
    read_id, arrays = decode_response(typed.SerializeToString())
    expected_id, expected = decode_response(raw.SerializeToString())
    assert read_id == expected_id
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)
        assert not array.flags.writeable


@pytest.mark.parametrize(
    ("datatype", "field", "values", "says"),
    [
        ("FP32", "fp32_contents", [1.0] * 3, r"LATENT \[2, 2\] has 3 values in fp32_contents"),
        ("FP32", "fp64_contents", [1.0] * 4, r"LATENT \[2, 2\] has 0 values in fp32_contents"),
        ("UINT8", "uint_contents", [1, 2, 3, 256], "values in uint_contents that are no UINT8"),
        ("FP16", "bytes_contents", [b"00"] * 4, "has no raw contents, in which alone FP16 can travel"),
        ("BF16", "fp32_contents", [1.0] * 4, "has the datatype BF16, which no model of ours has"),
    ],
)
def test_numbers_that_are_not_those_of_the_declared_tensor_are_refused(
    datatype: str, field: str, values: list[object], says: str
) -> None:
    message = service_pb2.ModelInferResponse(id="7")
    tensor = message.outputs.add(name="LATENT", datatype=datatype, shape=(2, 2))
    getattr(tensor.contents, field).extend(values)
    with pytest.raises(MessageError, match=says):
        decode_response(message.SerializeToString())


@pytest.mark.parametrize("count", [1, 3, 8])
def test_protobuf_reads_in_a_shared_request_where_the_large_inputs_lie(count: int) -> None:
    """The small ones travel in it, in the order of the inputs; everything else is as in an inline request."""
    rows = [row.inputs for row in toy_rows(count)]
    rows[0] = {**rows[0], "LATENT": np.arange(48, dtype=np.float32).reshape(4, 4, 3).transpose(2, 0, 1)}
    memory = memoryview(bytearray(shared_bytes(LOSS, count)))
    request = service_pb2.ModelInferRequest.FromString(
        encode_shared_request(LOSS, rows, "r1", 5_000_000, ("region", 128, memory))
    )
    inline = service_pb2.ModelInferRequest.FromString(encode_request(LOSS, rows, "r1", 5_000_000))
    latent, *others = request.inputs
    assert latent.parameters["shared_memory_region"].string_param == "region"
    assert latent.parameters["shared_memory_offset"].int64_param == 128
    assert latent.parameters["shared_memory_byte_size"].int64_param == count * 192
    assert bytes(memory[: count * 192]) == inline.raw_input_contents[0]
    assert not any(tensor.parameters for tensor in others)
    latent.parameters.clear()
    request.raw_input_contents.insert(0, inline.raw_input_contents[0])
    assert request == inline


def test_what_would_not_fit_its_place_is_refused_rather_than_cast_or_repeated() -> None:
    """numpy would do both."""
    for wrong in (np.zeros((3, 4, 4), np.float64), np.zeros((1, 4, 4), np.float32)):
        row = {**toy_rows(1)[0].inputs, "LATENT": wrong}
        with pytest.raises((TypeError, ValueError)):
            encode_shared_request(LOSS, [row], "r", 1, ("region", 0, memoryview(bytearray(shared_bytes(LOSS, 1)))))


def test_places_in_a_slot_are_aligned_and_apart() -> None:
    """Of every model: the UNet's conditions and latents together, indices nowhere."""
    for model in contract.models(GEOMETRY).values():
        for count in (1, 7):
            places, nbytes = _places(model, count)
            sizes = [count * int(np.prod(t.shape)) * DTYPES[t.datatype].itemsize for t in model.inputs]
            spans = [(place, place + size) for place, size in zip(places, sizes, strict=True) if place is not None]
            assert all(start % 64 == 0 for start, _ in spans)
            assert all(end <= start for (_, end), (start, _) in pairwise(spans))
            assert nbytes >= max((end for _, end in spans), default=0)
