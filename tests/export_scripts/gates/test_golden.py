"""What export records as golden rows, and what it refuses to record."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from client import contract
from client.golden import compare, golden_parameters, inputs
from client.repository import read_config, read_identity
from export_scripts.errors import GoldenMismatch
from export_scripts.gates.golden import (
    Arrays,
    Run,
    check_golden,
    composed,
    from_graphs,
    in_onnx_runtime,
    make_golden,
)
from export_scripts.gates.graph import open_session
from export_scripts.pipelines.text import PromptTable
from export_scripts.repository.exported import Exported, read_exported
from export_scripts.repository.manifest import add_to_manifest
from export_scripts.repository.triton_config import add_parameters, write_config
from export_scripts.reuse import add_golden_rows, replace_classes
from export_scripts.settings import FP16, FP32, Wanted
from export_scripts.steps import Steps
from tests.integration.wrong_engines import one_weight_changed, with_graph

QUIET = Steps(say=False)


@pytest.fixture
def exported(tiny_repository: Path) -> Exported:
    return read_exported(tiny_repository)


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(tiny_repository, folder)
    return folder


def graphs_of(exported: Exported) -> Run:
    return in_onnx_runtime(exported.models, {name: exported.onnx(name) for name in contract.LEAVES}, threads=1)


def without_golden_rows(repository: Path) -> Path:
    """As an older version exported it."""
    for name in (*contract.LEAVES, *contract.ENSEMBLES):
        config = read_config(repository, name)
        del config.parameters["golden"]
        write_config(config, repository / name)
    return repository


def test_an_export_writes_golden_rows_of_every_model_that_its_graphs_answer(exported: Exported) -> None:
    """By torch; four of them, and every output."""
    run = graphs_of(exported)
    answers = composed(exported.models, {n: inputs(exported.golden[n], m) for n, m in exported.models.items()}, run)
    assert set(exported.golden) == set(exported.models)
    for name, golden in exported.golden.items():
        assert (golden.rows, golden.reference) == (4, "torch float32")
        assert all(one.allowed for one in compare(golden, answers[name])), name
        assert len(golden_parameters(golden)["golden"]) < 4096


def test_conditions_of_the_unet_are_of_the_prompts_size(exported: Exported) -> None:
    """Its golden rows don't depend on the list of classes, and still are like prompts."""
    (prompts,) = composed(
        exported.models,
        {
            contract.PROMPT_EMBEDDING: inputs(
                exported.golden[contract.PROMPT_EMBEDDING], exported.models[contract.PROMPT_EMBEDDING]
            )
        },
        graphs_of(exported),
    ).values()
    given = inputs(exported.golden[contract.UNET], exported.models[contract.UNET])
    for name in ("COND", "REFERENCE"):
        assert given[name].std() == pytest.approx(prompts[name].std(), rel=0.25)
    assert not np.array_equal(given["COND"], given["REFERENCE"])


def test_an_ensemble_is_composed_of_its_leaves(exported: Exported) -> None:
    """patch_scorer's feature is patch_features' of the same image and prompt, and its losses are noise_loss's of that latent."""
    run, models = graphs_of(exported), exported.models
    given = inputs(exported.golden[contract.PATCH_SCORER], models[contract.PATCH_SCORER])
    image = {"IMAGE": given["IMAGE"]}
    ids = {name: given[name] for name in ("PROMPT_ID", "REFERENCE_ID", "DRAW")}
    latent = run(contract.VAE_ENCODER, image)
    asked: dict[str, Arrays] = {
        contract.PATCH_SCORER: given,
        contract.PATCH_FEATURES: image | {"PROMPT_ID": given["PROMPT_ID"]},
        contract.NOISE_LOSS: {**latent, **ids},
    }
    whole, features, losses = composed(models, asked, run).values()
    assert np.array_equal(whole["FEATURE"], features["FEATURE"])
    assert all(np.array_equal(whole[name], losses[name]) for name in ("DELTA", "LOSS_PROMPT", "LOSS_REFERENCE"))


def test_a_graph_that_is_far_from_its_reference_gets_no_golden_rows(exported: Exported) -> None:
    right = graphs_of(exported)

    def wrong(name: str, arrays: Arrays) -> Arrays:
        answers = right(name, arrays)
        return {key: array[::-1] if name == contract.DIFT else array for key, array in answers.items()}

    assert make_golden(exported.models, FP32, right, right).errors[contract.DIFT] == {
        "FEATURE": pytest.approx(0, abs=1e-7)
    }
    with pytest.raises(GoldenMismatch, match="dift_extractor: FEATURE of row"):
        make_golden(exported.models, FP32, right, wrong)


def test_an_engine_is_allowed_four_times_what_the_graphs_are_off_by(exported: Exported) -> None:
    """Where that is more than the precision's own tolerance."""
    right = graphs_of(exported)

    def rough(name: str, arrays: Arrays) -> Arrays:
        return {
            key: array * np.float32(1.001) if key == "FEATURE" else array for key, array in right(name, arrays).items()
        }

    made = make_golden(exported.models, FP32, right, rough)
    off = made.errors[contract.DIFT]["FEATURE"]
    assert made.golden[contract.DIFT].outputs["FEATURE"].tolerance == pytest.approx(4 * off, rel=0.05)
    assert made.golden[contract.UNET].outputs["DELTA"].tolerance == 1e-3


def test_an_engine_is_asked_every_row_alone_and_all_in_the_largest_batch(exported: Exported) -> None:
    name = contract.UNET
    model, golden = exported.models[name], exported.golden[name]
    session, asked = open_session(name, exported.onnx(name)), []

    class Engine:
        """Right for batches below ten rows, as some engines were."""

        def run(self, outputs, given):  # type: ignore[no-untyped-def]
            rows = len(given["DRAW"])
            asked.append(rows)
            return [array[::-1] if rows >= limit else array for array in session.run(outputs, given)]

    limit = 100
    assert check_golden(model, golden, Engine(), 16) < 1e-3
    assert asked == [1, 1, 1, 1, 16]
    limit = 10
    with pytest.raises(GoldenMismatch, match="in a batch of 16 golden rows"):
        check_golden(model, golden, Engine(), 16)


def test_a_repository_of_an_older_export_is_given_golden_rows(repository: Path) -> None:
    """By its own graphs; its identity, which stores depend on, stays."""
    before, identity = read_exported(repository), read_identity(repository)
    add_golden_rows(without_golden_rows(repository), QUIET)
    after = read_exported(repository)
    assert read_identity(repository) == identity
    for name, golden in after.golden.items():
        assert golden.reference == "onnxruntime fp32"
        for key, record in golden.outputs.items():
            old = before.golden[name].outputs[key]
            assert np.allclose(record.values, old.values, atol=old.scale * old.tolerance)


def test_a_new_list_of_classes_changes_what_prompts_must_answer_and_nothing_else(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs answer again, at the tolerances from before; a server of the result would pass."""
    before = read_exported(repository)
    add_to_manifest(repository / contract.PROMPT_EMBEDDING, source={"pipeline": "gone", "text_digest": "same"})
    tokens = torch.from_numpy(np.random.default_rng(1).standard_normal((5, *before.geometry.prompt), dtype=np.float32))
    table = PromptTable(("", "a", "b", "c", "d"), tokens, None, "same", ())
    monkeypatch.setattr("export_scripts.reuse.read_prompts", lambda path, wanted: table)
    replace_classes(repository, Wanted(classes=("a", "b", "c", "d")), None, QUIET)
    after = read_exported(repository)
    for name in (contract.VAE_ENCODER, contract.UNET, contract.DIFT):
        assert after.golden[name] == before.golden[name]
    run = graphs_of(after)
    answers = composed(after.models, {n: inputs(after.golden[n], m) for n, m in after.models.items()}, run)
    for name, golden in after.golden.items():
        assert all(one.allowed for one in compare(golden, answers[name])), name
    for name in (contract.PROMPT_EMBEDDING, *contract.ENSEMBLES):
        assert not all(one.allowed for one in compare(before.golden[name], answers[name])), name
        assert {k: e.tolerance for k, e in after.golden[name].outputs.items()} == {
            k: e.tolerance for k, e in before.golden[name].outputs.items()
        }


def test_golden_rows_that_are_there_stay(repository: Path) -> None:
    before = {path: path.read_bytes() for path in repository.rglob("*.pbtxt")}
    add_golden_rows(repository, QUIET)
    assert {path: path.read_bytes() for path in repository.rglob("*.pbtxt")} == before


def test_a_graph_that_is_not_the_exported_one_is_not_believed(tiny_repository: Path, tmp_path: Path) -> None:
    """Else whatever lies there would become the truth."""
    wrong = with_graph(tiny_repository, tmp_path / "wrong", contract.UNET, one_weight_changed(1.0))
    with pytest.raises(GoldenMismatch, match="is not the file that was exported"):
        add_golden_rows(without_golden_rows(wrong), QUIET)


def test_float16_graphs_can_t_say_what_float32_answers(exported: Exported) -> None:
    """Without golden rows there is no tolerance either; with them they are answered again, as after a new list of classes."""
    run, names = graphs_of(exported), list(exported.models)
    with pytest.raises(GoldenMismatch, match="export the pipeline again"):
        from_graphs(exported.models, FP16, run, {}, names)
    again = from_graphs(exported.models, FP16, run, exported.golden, names)
    for name, golden in again.items():
        assert golden.reference == "onnxruntime fp16"
        assert {k: e.tolerance for k, e in golden.outputs.items()} == {
            k: e.tolerance for k, e in exported.golden[name].outputs.items()
        }


def test_parameters_are_added_and_others_stay(repository: Path) -> None:
    add_parameters(repository / contract.UNET, {"further": "text"})
    parameters = read_config(repository, contract.UNET).parameters
    assert parameters["further"].string_value == "text"
    assert {"golden", "timesteps", "index_range.DRAW"} <= set(parameters)
