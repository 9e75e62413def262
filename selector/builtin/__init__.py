"""What comes with the package: the built-in data, lists of classes, and where the built-in repository lies."""

from __future__ import annotations

from pathlib import Path

CLASS_LISTS = ("imagenet-1k", "imagenet-100", "imagenette", "imagewoof")
"""The built-in lists of classes. NOTICE says where each is from."""

_CLASS_LISTS = Path(__file__).with_name("class_lists")


def builtin_scenes() -> Path:
    """The tar of 3,000 scenes made from Fashion-MNIST's train split."""
    return Path(__file__).with_name("scenes.tar")


def builtin_repository() -> Path:
    """The default Triton repository; it lies beside the packages in a clone and in site-packages alike."""
    return Path(__file__).resolve().parents[2] / "model_repository"


def builtin_class_list(name: str) -> Path:
    """The file of a list in CLASS_LISTS: lines `WordNet id<TAB>name`, sorted by id."""
    return _CLASS_LISTS / f"{name}.tsv"


def is_builtin_class_list(path: Path) -> bool:
    """Whether a file of classes is one of ours."""
    return path.parent == _CLASS_LISTS
