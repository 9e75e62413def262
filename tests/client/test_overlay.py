"""The repository as the embedded server serves it."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from client import contract
from client.embedded.overlay import (
    LARGE_BYTES,
    LEAST_BYTES,
    MOST_BYTES,
    MOST_INSTANCES,
    instances,
    with_instances,
    without_queue_policies,
    write_overlay,
)
from client.embedded.patience import LEAST_S, PER_GB_S, patience_s
from export_scripts.repository.triton_config import model_config
from tests.toy_repository import GEOMETRY, write_toy_repository


def parsed(text: str) -> pb.ModelConfig:
    """By Triton's own schema."""
    return text_format.Parse(text, pb.ModelConfig())


@pytest.mark.parametrize("name", [*contract.LEAVES, *contract.ENSEMBLES])
def test_only_the_queue_policy_is_taken_out(name: str) -> None:
    """By Triton's own parser, everything else is as it was."""
    # Braces and the field's name inside a string are no policy.
    config = model_config(contract.models(GEOMETRY)[name], parameters={"odd": 'x {\n default_queue_policy { "}'})
    expected = pb.ModelConfig()
    expected.CopyFrom(config)
    if config.HasField("dynamic_batching"):  # looking into an absent one would make it
        expected.dynamic_batching.ClearField("default_queue_policy")
    assert parsed(without_queue_policies(text_format.MessageToString(config))) == expected


def test_policies_of_priorities_go_as_well() -> None:
    """Nested in a map, with braces of its own."""
    text = """name: "m"
    dynamic_batching {
      priority_levels: 2
      priority_queue_policy {
        key: 1
        value { max_queue_size: 3 }
      }
      max_queue_delay_microseconds: 5
    }"""
    batching = parsed(without_queue_policies(text)).dynamic_batching
    assert not batching.priority_queue_policy
    assert (batching.priority_levels, batching.max_queue_delay_microseconds) == (2, 5)


def test_models_are_linked_and_what_is_no_model_is_left_out(tmp_path: Path) -> None:
    """The graphs are not copied."""
    repository = write_toy_repository(tmp_path / "toy")
    (repository / "README.md").write_text("no model")
    (repository / "empty").mkdir()
    overlay = write_overlay(repository, tmp_path / "overlay")
    assert {path.name for path in overlay.iterdir()} == set(contract.models(GEOMETRY))
    assert (overlay / "dift_extractor" / "1").readlink() == repository / "dift_extractor" / "1"


def test_only_the_number_of_instances_changes() -> None:
    """By Triton's own parser."""
    config = model_config(contract.models(GEOMETRY)[contract.UNET])
    expected = pb.ModelConfig()
    expected.CopyFrom(config)
    expected.instance_group[0].count = 3
    assert parsed(with_instances(text_format.MessageToString(config), 3)) == expected


@pytest.mark.parametrize(
    ("size", "threads", "expected"),
    [
        (LEAST_BYTES, 2, 2),
        (LEAST_BYTES, 1, 1),
        (MOST_BYTES, 64, MOST_INSTANCES),
        (LEAST_BYTES - 1, 2, 1),
        (MOST_BYTES + 1, 2, 1),
    ],
)
def test_a_small_graph_gets_an_instance_per_thread_up_to_a_limit(
    tmp_path: Path, size: int, threads: int, expected: int
) -> None:
    """External weights count."""
    (tmp_path / "1").mkdir()
    for name, part in (("model.onnx", 1000), ("model.onnx.data", size - 1000)):
        with (tmp_path / "1" / name).open("wb") as file:
            file.truncate(part)
    assert instances(tmp_path, threads) == expected


def test_only_the_unet_of_a_repository_gets_more_instances(tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path / "toy")
    for name in contract.LEAVES:
        with (repository / name / "1" / "model.onnx.data").open("wb") as file:
            file.truncate(LEAST_BYTES)
    overlay = write_overlay(repository, tmp_path / "overlay", threads=2)
    counts = {
        name: parsed((overlay / name / "config.pbtxt").read_text()).instance_group[0].count for name in contract.LEAVES
    }
    assert counts == {name: 2 if name == contract.UNET else 1 for name in contract.LEAVES}


def test_a_repository_of_large_graphs_is_served_a_row_at_a_time(tmp_path: Path) -> None:
    """By Triton's own parser, nothing else changes but what changes for every repository; ensembles take no more either."""
    repository = write_toy_repository(tmp_path / "toy", max_batch=8)
    small = write_overlay(repository, tmp_path / "small")
    with (repository / contract.UNET / "1" / "model.onnx.data").open("wb") as file:
        file.truncate(LARGE_BYTES)
    large = write_overlay(repository, tmp_path / "large")
    for name in contract.models(GEOMETRY):
        expected, found = (parsed((overlay / name / "config.pbtxt").read_text()) for overlay in (small, large))
        assert [warmup.batch_size for warmup in expected.model_warmup] == ([] if name in contract.ENSEMBLES else [1, 8])
        del expected.model_warmup[1:]
        expected.max_batch_size = 1
        assert found == expected


def test_patience_grows_with_the_weights_of_all_models(tmp_path: Path) -> None:
    repository = write_toy_repository(tmp_path / "toy")
    assert patience_s(repository) == pytest.approx(LEAST_S, abs=0.1)
    for name in (contract.UNET, contract.DIFT):
        with (repository / name / "1" / "model.onnx.data").open("wb") as file:
            file.truncate(3_000_000_000)
    (repository / "README.md").write_text("no model")
    assert patience_s(repository) == pytest.approx(LEAST_S + 6 * PER_GB_S, abs=0.1)
