"""What `selector label` is asked for, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.ranges import PROCESSES, SEED, above, real, whole
from selector.config import refuse_numbers
from selector.errors import UsageError

LABEL_RANGES = {
    "views": whole(0, 100_000),
    "crop_area": above(0, 1),
    "temperature": above(0, 1000),
    "top_k": whole(0, 1_000_000),
    "input_side": whole(8, 4096),
    "mean": real(0, 1),
    "std": above(0, 1),
    "least_accuracy": real(0, 1),
    "batch": whole(1, 65536),
    "seed": SEED,
    "threads": PROCESSES,
}
LABELLED = ("data", "teacher")
"""Of which classes a label speaks: the data's, whose probabilities then sum to one, or all of the teacher's."""
COLOURS = 3


@dataclass(frozen=True)
class LabelConfig:
    """How the picks in a folder are labelled.

    folder: of a selection. teacher: a file, or timm:NAME or torchvision:NAME. teacher_classes: file of its classes in its order.
    check: labelled images that its order is checked on, None for the picks. least_accuracy: what it must have there. labelled:
    one of LABELLED. views: of a picture, 0 for one label of its middle square. crop_area: least and greatest share of the picture
    that a view shows. top_k: classes of a label, the most probable ones; 0 for all. input_side, mean, std: of the teacher's
    input, None for what its file says. batch: pictures that the teacher sees at once. threads: 0 for one on each core.
    """

    folder: Path
    teacher: str
    teacher_classes: Path | None = None
    check: Path | None = None
    least_accuracy: float = 0.5
    labelled: str = "data"
    views: int = 20
    crop_area: tuple[float, ...] = (0.4, 1.0)
    temperature: float = 1.0
    top_k: int = 10
    input_side: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    batch: int = 32
    seed: int = 0
    threads: int = 0
    wait: bool = True

    def __post_init__(self) -> None:
        refuse_numbers(LABEL_RANGES, self)
        if len(self.crop_area) != 2 or self.crop_area[0] > self.crop_area[1]:
            raise UsageError(
                f"--crop-area takes the least and the greatest share, as 0.4,1, not {_text(self.crop_area)}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != COLOURS:
                raise UsageError(f"--{name} takes a number for red, green and blue each, not {_text(values)}")
        if self.labelled not in LABELLED:
            raise UsageError(f"--label-classes must be {' or '.join(LABELLED)}, not {self.labelled!r}")


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
