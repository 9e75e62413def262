"""A teacher of any kind as one thing: pictures in, a number for every one of its classes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError, UsageError
from selector.soft_labels.by_name import named
from selector.soft_labels.files import read_file
from selector.soft_labels.loaded import Loaded
from selector.soft_labels.settings import LabelConfig

IMAGENET_SIDE, IMAGENET_MEAN, IMAGENET_STD = 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LEAST = 1e-30
"""Of a probability whose logarithm is taken."""


@dataclass(frozen=True)
class Input:
    """What pictures become: side_px × side_px, each channel of [0, 1] less its mean, divided by its std."""

    side_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Network:
    """A teacher that is ready: its input is known, it was asked once, and it is always asked the same number of rows.

    So a picture's answer does not depend on how many others there are.
    """

    def __init__(self, loaded: Loaded, sees: Input, batch: int) -> None:
        self.loaded, self.input = loaded, sees
        self.batch = loaded.rows or batch
        self._scale = np.array(sees.std, np.float32) * np.float32(255)
        self._shift = np.array(sees.mean, np.float32) / np.array(sees.std, np.float32)
        self.outputs = self(np.zeros((1, sees.side_px, sees.side_px, 3), np.uint8)).shape[1]

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Its outputs for up to `batch` crops uint8 [n, S, S, 3]: float32 [n, outputs]; raises SelectorError for NaN."""
        rows = np.zeros((self.batch, *crops.shape[1:]), np.uint8)
        rows[: len(crops)] = crops
        scaled = np.ascontiguousarray((rows / self._scale - self._shift).transpose(0, 3, 1, 2), np.float32)
        try:
            said = np.asarray(self.loaded.answer(scaled), np.float32)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{self.loaded.name} does not take {self.batch} pictures of {self.input.side_px} px: {_first_line(error)}: is "
                "another --input-side or --batch wanted?"
            ) from error
        if said.ndim != 2 or len(said) != self.batch or said.shape[1] < 2:
            raise UsageError(
                f"{self.loaded.name} is no classifier: of {self.batch} pictures it gives {list(said.shape)} numbers, not one for "
                "each picture and class"
            )
        if not np.isfinite(said[: len(crops)]).all():
            raise SelectorError(f"{self.loaded.name} answers with NaN or infinity: are --mean and --std its own?")
        return said[: len(crops)]

    def stated(self) -> dict[str, Any]:
        """What tells the teacher and its input apart, as JSON values."""
        loaded = self.loaded
        return {"name": loaded.name, "kind": loaded.kind, "digest": loaded.digest, "outputs": self.outputs} | asdict(
            self.input
        )


def open_network(config: LabelConfig, note: Callable[[str], None]) -> Network:
    """The teacher that is asked for. note: takes a line that says what was supposed where nothing says it.

    Raises UsageError for what is none, or can't be read safely.
    """
    loaded = named(config.teacher, config.threads) or read_file(config.teacher, config.threads)
    sees = Input(
        config.input_side or loaded.side_px or IMAGENET_SIDE,
        config.mean or loaded.mean or IMAGENET_MEAN,
        config.std or loaded.std or IMAGENET_STD,
    )
    supposed = {
        f"--input-side {sees.side_px}": config.input_side or loaded.side_px,
        f"--mean {_joined(sees.mean)}": config.mean or loaded.mean,
        f"--std {_joined(sees.std)}": config.std or loaded.std,
    }
    if unsaid := [text for text, known in supposed.items() if known is None]:
        note(f"{loaded.name} does not say what it takes: ImageNet's {', '.join(unsaid)}")
    if loaded.rows not in (None, config.batch):
        note(f"{loaded.name} takes {loaded.rows} pictures at once")
    return Network(loaded, sees, config.batch)


def as_logits(said: NDArray[np.float32], probabilities: bool) -> NDArray[np.float32]:
    """The logits of the same distribution."""
    return np.log(np.maximum(said, np.float32(_LEAST))) if probabilities else said


def are_probabilities(said: NDArray[np.float32]) -> bool:
    """Whether outputs [n, classes] are probabilities and no logits: none is negative, and each row sums to one."""
    return bool((said >= 0).all() and np.allclose(said.sum(axis=1), 1.0, atol=1e-3))


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
