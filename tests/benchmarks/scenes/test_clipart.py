"""Reading the clip art package: classes by folder, what is left out, families, and splits that share none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.scenes.clipart import CLASS_NAMES, DRAWING_PX, Drawings, read_drawings, stem
from benchmarks.scenes.splits import SPLIT_SHARES, splits_of
from tests.benchmarks.scenes.drawn_clipart import DRAWN, draw_blots, write_clipart


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_clipart(tmp_path / "png")
    return tmp_path / "png"


def names_of(drawings: Drawings, class_name: str) -> set[str]:
    label = CLASS_NAMES.index(class_name)
    return {name for name, own in zip(drawings.names, drawings.labels, strict=True) if own == label}


def test_every_drawing_is_read_into_the_middle_of_its_square(package: Path) -> None:
    drawings = read_drawings(package)
    assert drawings.images.shape == (DRAWN * len(CLASS_NAMES), DRAWING_PX, DRAWING_PX, 4)
    assert np.bincount(drawings.labels).tolist() == [DRAWN] * len(CLASS_NAMES)
    for image in drawings.images:
        rows, columns = np.nonzero(image[..., 3] > 127)
        assert max(rows.max() - rows.min(), columns.max() - columns.min()) >= DRAWING_PX - 3
        assert abs(rows.min() + rows.max() - DRAWING_PX + 1) <= 3
        assert abs(columns.min() + columns.max() - DRAWING_PX + 1) <= 3


def test_the_deepest_folder_gives_the_class_and_two_classes_at_one_depth_leave_out(package: Path) -> None:
    (package / "food" / "desserts" / "apple_cake.png").symlink_to(package / "food" / "fruit" / "fruita_thing_01.png")
    (package / "transportation" / "roadsigns").mkdir()
    (package / "transportation" / "roadsigns" / "stop.png").symlink_to(
        package / "transportation" / "vehiclea_thing_01.png"
    )
    drawings = read_drawings(package)
    assert len(names_of(drawings, "fruit")) == len(names_of(drawings, "vehicle")) == DRAWN - 1
    assert len(names_of(drawings, "sweet")) == DRAWN


def test_what_is_no_object_on_its_own_is_left_out(package: Path) -> None:
    folder = package / "tools"
    Image.new("RGBA", (50, 50), "red").save(folder / "rectangle.png")
    Image.new("RGBA", (50, 50)).save(folder / "nothing.png")
    thin = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(thin).line((0, 0, 199, 199), "red", 3)
    thin.save(folder / "line.png")
    long = Image.new("RGBA", (200, 40))
    ImageDraw.Draw(long).ellipse((0, 0, 199, 39), "red")
    long.save(folder / "long.png")
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert len(names_of(read_drawings(package), "tool")) == DRAWN


@pytest.mark.parametrize(
    ("one", "other"),
    [("apple.png", "apple_bw.png"), ("clock01.png", "clock12.png"), ("people_krug_01a.png", "people_krug_03c.png")],
)
def test_variants_of_a_name_share_its_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_other_names_have_other_stems() -> None:
    assert stem("contour_fox.png") != stem("contour_camel.png")


def test_a_recoloured_copy_by_another_name_is_of_the_same_split(package: Path) -> None:
    rng = np.random.default_rng(9)
    for i in range(12):
        drawn = draw_blots(rng)
        drawn.save(package / "plants" / f"leaf{'abcdefghijkl'[i]}_a.png")
        red, green, blue, alpha = drawn.split()
        Image.merge("RGBA", (blue, red, green, alpha)).save(package / "plants" / f"tree{'abcdefghijkl'[i]}_b.png")
    drawings = read_drawings(package)
    family = dict(zip(drawings.names, drawings.families, strict=True))
    for letter in "abcdefghijkl":
        assert family[f"plants/leaf{letter}_a.png"] == family[f"plants/tree{letter}_b.png"]
    assert family["plants/leafa_a.png"] != family["plants/leafb_a.png"]


def test_splits_share_no_family_and_leave_none_out(package: Path) -> None:
    drawings = read_drawings(package)
    parts = [drawings.of_split(split) for split in SPLIT_SHARES]
    assert sorted(name for part in parts for name in part.names) == sorted(drawings.names)
    families = [set(part.families) for part in parts]
    assert len(set.union(*families)) == sum(len(each) for each in families)
    assert all(len(set(part.labels.tolist())) == len(CLASS_NAMES) for part in parts)


def test_the_largest_family_is_trained_on_and_shares_are_kept() -> None:
    families = ["tool/saw"] * 10 + [f"tool/{i}" for i in range(30)]
    splits = splits_of(families)
    assert splits["tool/saw"] == "train"
    counts = {split: sum(splits[family] == split for family in families) for split in SPLIT_SHARES}
    assert counts == {"train": 24, "tuning": 6, "test": 10}


def test_a_folder_without_drawings_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_drawings(tmp_path)
