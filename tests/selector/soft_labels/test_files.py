"""Teachers in files: what is read, and that what would be unpickled is refused with what to do instead."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnx.parser
import pytest
import torch

from selector.errors import UsageError
from selector.evaluation.architectures import build
from selector.evaluation.teacher import Teacher, logits_of, save_teacher
from selector.soft_labels.networks import open_network
from selector.soft_labels.settings import LabelConfig
from tests.selector.soft_labels.coloured import network, onnx_teacher


def opened(path: Path | str, **asked: object) -> object:
    return open_network(LabelConfig(Path(), str(path), threads=1, **asked), lambda _: None)


def pickled(path: Path) -> None:
    torch.save(network(), path)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": 1}))


def bare_weights(path: Path) -> None:
    torch.save(network().state_dict(), path)


def exported(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network(), (torch.zeros(2, 3, 16, 16),)), path)


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("t.pt", pickled, "holds pickled objects"),
        ("t.pth", bare_weights, "holds weights without the network"),
        ("t.pt2", exported, "is a program of torch.export"),
        ("t.pt", plain_pickle, "is neither a file of torch nor called .onnx"),
        ("t.txt", lambda path: path.write_text("no"), "is neither a file of torch nor called .onnx"),
    ],
)
def test_what_is_no_safe_file_of_a_teacher_is_refused_with_the_line_that_makes_one(
    name: str, write: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(UsageError, match=r"torch\.onnx\.export") as refused:
        opened(tmp_path / name)
    assert says in str(refused.value)


def test_a_pickle_that_runs_something_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"about": Trap(), "weights": {}}, tmp_path / "t.pt")
    with pytest.raises(UsageError, match="holds pickled objects"):
        opened(tmp_path / "t.pt")
    assert not (tmp_path / "ran").exists()


def test_our_own_teacher_answers_as_in_an_evaluation(tmp_path: Path) -> None:
    teacher = Teacher(build("convnet", 3, 16, 0).eval(), "convnet", ("a", "b", "c"), 16, 1, 0)
    save_teacher(teacher, tmp_path / "teacher.pt")
    found = opened(tmp_path / "teacher.pt")
    crops = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    assert np.allclose(found(crops), logits_of(teacher.network, crops).numpy(), atol=1e-5)
    assert found.loaded.class_names == ("a", "b", "c")


def test_files_that_are_damaged_or_no_classifiers_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(UsageError, match=r"bad\.onnx can't be read as ONNX"):
        opened(tmp_path / "bad.onnx")
    with pytest.raises(UsageError, match=r"none\.onnx can't be read: it is not there"):
        opened(tmp_path / "none.onnx")
    graph = "a (float[n,3,16,16] x) => (float[n,3,16,16] y) { y = Identity(x) }"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {graph}'), tmp_path / "map.onnx")
    with pytest.raises(UsageError, match=r"is no classifier: of 32 pictures it gives \[32, 3, 16, 16\] numbers"):
        opened(tmp_path / "map.onnx")
    with pytest.raises(UsageError, match=r"takes image tensor\(uint8\).*expected one input of floats"):
        opened(onnx_teacher(tmp_path / "t.onnx", kind="uint8"))
    with pytest.raises(UsageError, match=r"does not take 32 pictures of 20 px.*is another --input-side"):
        opened(onnx_teacher(tmp_path / "t.onnx"), input_side=20)


def test_half_precision_goes_in_where_it_is_wanted(tmp_path: Path) -> None:
    crops = np.full((2, 16, 16, 3), 200, np.uint8)
    half, whole = (opened(onnx_teacher(tmp_path / f"{kind}.onnx", kind=kind)) for kind in ("float16", "float"))
    assert np.allclose(half(crops), whole(crops), rtol=1e-2)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_name_of_a_library_that_is_not_here_is_refused_with_what_to_do(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.models", None)
    with pytest.raises(UsageError, match=f"--teacher {library}:resnet18: {library} can't be used here"):
        opened(f"{library}:resnet18")


def test_a_name_of_timm_brings_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a module of this test: timm itself can't be imported beside this torch."""
    fake, data = ModuleType("timm"), ModuleType("timm.data")
    fake.create_model = lambda name, pretrained: network()
    data.resolve_model_data_config = lambda made: {"input_size": (3, 20, 20), "mean": [0.5] * 3, "std": [0.25] * 3}
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    found = opened("timm:tiny")
    assert (found.input.side_px, found.input.std, found.outputs) == (20, (0.25,) * 3, 6)
