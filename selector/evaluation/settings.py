"""What an evaluation was asked for, validated once, and the part of it that results depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from client.ranges import COUNT, above, real, refuse_outside, whole
from selector.config import EVALUATE_RANGES, refuse_numbers
from selector.errors import UsageError

LABELS = ("soft", "hard")
MOSAICS = (1, 4)
PRECISIONS = ("fp32", "bf16")
CROPS = ("tile", "image")
RECIPE_RANGES = {
    "side_px": whole(8, 4096),
    "steps": COUNT,
    "batch": whole(1, 65536),
    "rate": above(0, 1000),
    "weight_decay": real(0, 1000),
    "least_area": above(0, 1),
    "cutmix": real(0, 1),
    "temperature": above(0, 1000),
    "checkpoints": whole(1, 10_000),
}


@dataclass(frozen=True)
class Recipe:
    """How every student is trained, the same for all methods.

    side_px: side of a student's input. steps: optimiser steps, whatever the IPC; batch: images of a step. Crops of a
    training image show a share of its area drawn from [least_area, 1]. cutmix: share of steps whose batch is cut and
    mixed. temperature: of the teacher's and the student's softmax under soft labels. checkpoints: evaluations on the
    test views, the last one after the last step. precision: of the student's and the teacher's products, fp32 or bf16;
    weights, normalisation's statistics and losses are always float32. crops: of a mosaic; "tile": within one of its
    quarters, "image": anywhere.
    """

    side_px: int = 28
    steps: int = 600
    batch: int = 50
    rate: float = 2e-3
    weight_decay: float = 0.01
    least_area: float = 0.4
    cutmix: float = 0.5
    temperature: float = 4.0
    checkpoints: int = 2
    precision: str = "fp32"
    crops: str = "tile"

    def __post_init__(self) -> None:
        try:
            refuse_outside(RECIPE_RANGES, self, lambda name: f"--recipe {name}")
        except ValueError as error:
            raise UsageError(str(error)) from None
        for name, known in (("precision", PRECISIONS), ("crops", CROPS)):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"--recipe {name}={value}: it must be {' or '.join(known)}")
        if self.steps < self.checkpoints:
            raise UsageError(f"--recipe steps={self.steps}: at least {self.checkpoints} are needed")


@dataclass(frozen=True)
class EvaluateConfig:
    """An evaluation: which methods, on how many pools, with which students.

    store: a scored store. test: folder or tar of class folders, with true boxes in boxes.csv for the object view; None
    where the caller of `compare` brings the images.
    teacher: file of a trained teacher, written there if it is missing and teacher_data is given; it is not looked at
    where labels are hard and no method asks it. pool_size: images of a class in a pool. reference: the method that
    others are compared with. mosaic: picks of one training image.
    """

    store: Path
    test: Path | None
    out: Path
    teacher: Path
    teacher_data: Path | None = None
    data: Path | None = None
    methods: tuple[str, ...] = ()
    ipc: tuple[int, ...] = (10,)
    pools: int = 8
    pool_size: int = 150
    students: tuple[str, ...] = ("convnet",)
    labels: tuple[str, ...] = ("soft",)
    mosaic: int = 1
    reference: str = "rded"
    seed: int = 0
    threads: int = 1
    teacher_architecture: str = "convnet-w64"
    teacher_steps: int = 2500
    least_accuracy: float = 0.6
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        for name, values in (("methods", self.methods), ("ipc", self.ipc), ("students", self.students)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"--{name} takes one or more different values, separated by commas")
        if not self.labels or any(kind not in LABELS for kind in self.labels):
            raise UsageError(f"--labels takes {' and '.join(LABELS)}, not {', '.join(self.labels)!r}")
        refuse_numbers(EVALUATE_RANGES, self)
        if self.mosaic not in MOSAICS:
            raise UsageError(f"--mosaic takes {' or '.join(map(str, MOSAICS))}, not {self.mosaic}")
        if self.pool_size < max(self.ipc) * self.mosaic:
            raise UsageError(
                f"--pool-size {self.pool_size} is less than the {max(self.ipc) * self.mosaic} images of a class that "
                f"--ipc {max(self.ipc)} needs"
            )

    def conditions(self) -> dict[str, Any]:
        """What every result in an output folder shares, as JSON values; methods, IPC, pools and students may be added."""
        return {
            "pool_size": self.pool_size,
            "mosaic": self.mosaic,
            "seed": self.seed,
            **{f"recipe.{name}": value for name, value in asdict(self.recipe).items()},
            "recipe.crops": self.recipe.crops
            if self.mosaic > 1
            else "image",  # where there is one tile, they are the same
        }


def recipe_of(text: str, usual: Recipe | None = None) -> Recipe:
    """The recipe with these values, NAME=VALUE separated by commas, instead of the usual ones; raises UsageError."""
    usual = usual or Recipe()
    kinds = {name: type(value) for name, value in asdict(usual).items()}
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in kinds:
            raise UsageError(f"--recipe knows no {name!r}; there are: {', '.join(kinds)}")
        try:
            given[name] = kinds[name](value)
        except ValueError:
            raise UsageError(f"--recipe {part}: {value!r} is no {kinds[name].__name__}") from None
    return replace(usual, **given)


def config_of(flags: Mapping[str, Any]) -> EvaluateConfig:
    """The configuration that a command's flags ask for: lists come as text with commas, steps are the recipe's."""
    values = dict(flags)
    for name in ("methods", "students", "labels"):
        values[name] = tuple(part.strip() for part in values[name].split(",") if part.strip())
    values["mosaic"] = int(values["mosaic"])
    values["recipe"] = recipe_of(values["recipe"])
    values["teacher"] = values["teacher"] or values["out"] / "teacher.pt"
    return EvaluateConfig(**values)
