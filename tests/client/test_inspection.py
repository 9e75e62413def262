"""What a server's repository index means, in words."""

from __future__ import annotations

import pytest

from client import contract
from client.inspection import NAMES, describe, explain, inspected
from client.wire import Connection, IndexEntry, ServedModel


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (
            "Internal: unable to create TensorRT engine: Error Code 6: The engine plan file is generated on an "
            "incompatible device, expecting compute 8.9 got compute 8.0, please rebuild.",
            "another kind of GPU",
        ),
        (
            "Internal: unable to create TensorRT engine: The engine plan file is not compatible with this version of "
            "TensorRT, expecting library version 10.4.0 got 10.13.2, please rebuild.",
            "another TensorRT than this server's",
        ),
        ("Internal: unable to create TensorRT engine", "the server's log has its words"),
        ("Internal: unable to find '/models/unet/1/model.plan' for model", "no plan for this kind of GPU"),
        ("Invalid argument: unable to find backend library for backend 'tensorrt'", "no such backend"),
        ("Internal: CUDA error: out of memory", "no memory left"),
    ],
)
def test_a_failed_load_is_explained_and_the_server_s_words_are_kept(reason: str, says: str) -> None:
    text = explain(reason)
    assert says in text
    assert reason in text


def test_a_reason_that_nobody_foresaw_is_passed_on() -> None:
    assert explain("the moon is full") == "the moon is full"


def test_a_plan_tells_who_built_it_where() -> None:
    told = '{"builder": "tensorrt 10.4.0", "gpu": "L4", "sha256": "0123456789abcdef"}'
    model = ServedModel("unet", 16, (), (), (), 1, {"engine.8.9": told}, "tensorrt", ("8.0", "8.9"))
    text = describe(model)
    assert "plan for 8.9 by tensorrt 10.4.0 on L4, 0123456789ab" in text
    assert "plan for 8.0 that no exporter of this project wrote" in text


class Answers(Connection):
    """A connection whose server answers from memory."""

    def __init__(self, entries: list[IndexEntry]) -> None:
        self.entries = entries

    async def software(self, timeout_s: float) -> tuple[str, str]:
        return "triton", "2.51.0"

    async def index(self, timeout_s: float) -> list[IndexEntry]:
        return self.entries

    async def model(self, name: str, timeout_s: float) -> ServedModel:
        return ServedModel(name, 8, (), (), (), 1, {}, "onnxruntime")


async def look(entries: list[IndexEntry]) -> dict[str, tuple[bool, str]]:
    return {model.name: (model.ready, model.detail) for model in (await inspected(Answers(entries))).models}


def test_every_model_of_the_contract_is_told_of_ready_failed_or_absent() -> None:
    import asyncio

    entries = [IndexEntry(name, "READY", "") for name in NAMES if name not in (contract.UNET, contract.NOISE_LOSS)]
    found = asyncio.run(
        look([*entries, IndexEntry(contract.UNET, "UNAVAILABLE", "expecting compute 8.9 got compute 8.0")])
    )
    assert set(found) == set(NAMES)
    assert found[contract.DIFT] == (True, "onnxruntime, up to 8 rows")
    ready, detail = found[contract.UNET]
    assert not ready
    assert "another kind of GPU" in detail
    assert found[contract.NOISE_LOSS] == (
        False,
        "not in the server's repository: it was not written by `selector export`",
    )
