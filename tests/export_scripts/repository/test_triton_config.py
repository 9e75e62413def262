"""config.pbtxt says what the spec says, in Triton's own protobuf."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from client import contract
from client.repository import read_config
from export_scripts.repository.triton_config import model_config, write_config

MODELS = contract.models(contract.Geometry(32, (4, 8, 8), (2, 8), 16, draws=8, classes=3, cond_datatype="FP16"))


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_what_is_written_reads_back_as_the_spec(model: contract.Model, tmp_path: Path) -> None:
    write_config(model_config(model, max_batch=4, parameters={"classes": '["a", "b"]'}), tmp_path)
    config = read_config(tmp_path.parent, tmp_path.name)
    assert config.name == model.name
    assert config.max_batch_size == 4
    for tensors, ios in ((model.inputs, config.input), (model.outputs, config.output)):
        found = [(io.name, pb.DataType.Name(io.data_type), tuple(io.dims)) for io in ios]
        assert found == [(t.name, f"TYPE_{t.datatype}", t.shape) for t in tensors]
    assert config.parameters["classes"].string_value == '["a", "b"]'


def test_the_same_arguments_write_the_same_bytes_whatever_the_order_of_parameters(tmp_path: Path) -> None:
    texts = []
    for parameters in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        write_config(model_config(MODELS[contract.UNET], parameters=parameters), tmp_path)
        texts.append((tmp_path / "config.pbtxt").read_bytes())
    assert texts[0] == texts[1]


def test_a_leaf_refuses_requests_that_waited_too_long_or_are_too_many() -> None:
    """The default timeout is not 0: with 0, a request's own timeout does nothing."""
    policy = model_config(MODELS[contract.UNET], queue_delay_us=7).dynamic_batching.default_queue_policy
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.default_timeout_microseconds > 0
    assert policy.max_queue_size > 0
    assert policy.allow_timeout_override


def test_a_leaf_has_one_instance_and_is_warmed_at_its_smallest_and_largest_batch() -> None:
    config = model_config(MODELS[contract.UNET], max_batch=16)
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, pb.ModelInstanceGroup.KIND_AUTO)]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 16]
    for warmup in config.model_warmup:
        assert set(warmup.inputs) == {tensor.name for tensor in MODELS[contract.UNET].inputs}
        assert all(value.zero_data for value in warmup.inputs.values())


def test_a_leaf_declares_the_ranges_of_its_indices() -> None:
    parameters = model_config(MODELS[contract.PROMPT_EMBEDDING]).parameters
    assert parameters["index_range.PROMPT_ID"].string_value == "0,3"
    assert model_config(MODELS[contract.UNET]).parameters["index_range.DRAW"].string_value == "0,7"


def test_an_ensemble_has_steps_and_neither_queue_nor_backend() -> None:
    config = model_config(MODELS[contract.PATCH_FEATURES])
    assert config.platform == "ensemble"
    assert not config.backend
    assert not config.HasField("dynamic_batching")
    steps = config.ensemble_scheduling.step
    assert [step.model_name for step in steps] == [contract.VAE_ENCODER, contract.PROMPT_EMBEDDING, contract.DIFT]
    assert dict(steps[1].input_map) == {"PROMPT_ID": "PROMPT_ID", "REFERENCE_ID": "PROMPT_ID"}
