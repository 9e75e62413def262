"""The built-in data and where the built-in repository lies."""

from __future__ import annotations

from pathlib import Path


def builtin_scenes() -> Path:
    """The tar of 3,000 scenes made from Fashion-MNIST's train split."""
    return Path(__file__).with_name("scenes.tar")


def builtin_repository() -> Path:
    """The default Triton repository; it lies beside the packages in a clone and in site-packages alike."""
    return Path(__file__).resolve().parents[2] / "model_repository"
