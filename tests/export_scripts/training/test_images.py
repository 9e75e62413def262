"""Training images: read as the selector reads them, zoomed, and seen once per epoch."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export_scripts.training.images import batch_indices, read_image_set, zoom
from selector.errors import UsageError
from selector.images.canvas import fit
from selector.images.datasets import Reader, list_items
from selector.images.decoding import decode


def test_a_zoom_shows_a_part_of_the_image_and_leaves_other_rows_alone() -> None:
    ramp = torch.linspace(0, 1, 16).expand(40, 1, 16, 16).clone()
    zoomed = torch.arange(40) % 2 == 0
    out = zoom(ramp, zoomed, 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(out[~zoomed], ramp[~zoomed])
    spans = (out[zoomed][..., -1] - out[zoomed][..., 0]).mean(dim=(1, 2))
    assert (spans < 0.99).all()
    assert (spans > 0.3).all()


def test_every_image_is_seen_once_per_epoch() -> None:
    seen = np.concatenate([batch_indices(10, 4, step, seed=1) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])


def test_classes_keep_the_order_of_the_list_and_a_wrong_list_is_refused(tmp_path: Path) -> None:
    for folder, level in (("ant", 10), ("zebra", 200)):
        (tmp_path / folder).mkdir()
        Image.new("L", (20, 16), level).save(tmp_path / folder / "0.png")
    found = read_image_set(tmp_path, 16, ["zebra", "ant"])
    assert found.class_names == ("zebra", "ant")
    assert {name: int(found.pixels[found.labels == i].max()) for i, name in enumerate(found.class_names)} == {
        "zebra": 200,
        "ant": 10,
    }
    assert found.pixels.shape == (2, 1, 16, 16)
    with pytest.raises(UsageError, match="folders found"):
        read_image_set(tmp_path, 16, ["zebra", "bee"])


def test_one_colour_image_makes_the_set_rgb(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (16, 16), 9).save(tmp_path / "a" / "0.png")
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "a" / "1.png")
    assert read_image_set(tmp_path, 16).pixels[:, :, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3]]


def test_pixels_are_those_that_the_selector_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = {
        "a/gray.png": (16, 16),
        "a/wide.png": (19, 45),
        "b/colour.png": (40, 23, 3),
        "b/nested/same.jpg": (16, 16, 3),
    }
    for source, shape in kinds.items():
        (tmp_path / "data" / source).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "data" / source)
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(tmp_path / "data", ".")
    for place in (tmp_path / "data", tmp_path / "data.tar"):
        found = read_image_set(place, 16)
        with Reader(list_items(place)) as reader:
            scored = [fit(decode(reader.read(source)), 16)[0] for source in list_items(place).sources.to_pylist()]
        assert np.array_equal(found.pixels.transpose(0, 2, 3, 1), np.stack(scored))
        assert [found.class_names[label] for label in found.labels] == ["a", "a", "b", "b"]
    with Image.open(tmp_path / "data" / "a" / "gray.png") as image:
        assert np.array_equal(read_image_set(tmp_path / "data", 16).pixels[0, 0], np.asarray(image))


def test_a_damaged_image_is_named_and_an_empty_class_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        read_image_set(tmp_path, 16)
    (tmp_path / "a").mkdir()
    Image.new("L", (16, 16), 9).save(tmp_path / "a" / "0.png")
    assert read_image_set(tmp_path, 16).class_names == ("a",)
    (tmp_path / "a" / "1.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:40])
    with pytest.raises(UsageError, match=r"a/1\.png in .*damaged.*mend it, or take it out of the data"):
        read_image_set(tmp_path, 16)
