"""The teacher: trained on the training split or loaded, and checked before anything is learned from it.

The commonest silent failure of soft labels is a teacher whose classes stand in another order; `check` looks for that
first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from selector.errors import MismatchError, SelectorError
from selector.evaluation.architectures import build
from selector.evaluation.augmentation import as_input, sampled
from selector.evaluation.pictures import Pictures
from selector.folders.files import write_bytes
from selector.progress import Advance

_BATCH = 128
_FORWARD = 25  # larger pieces' activations are mapped and unmapped every time: 160 ms instead of 53 for 500 crops
_HELD_OUT = 10  # one image in so many is not trained on


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode and what its outputs mean: class_names[i] is the name of logit i."""

    network: nn.Module
    architecture: str
    class_names: tuple[str, ...]
    side_px: int
    steps: int
    seed: int

    def confidence(self, class_ids: NDArray[np.int64], crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """float64 [m]: log-probability of each crop's class. crops: uint8 [m, side_px, side_px, 3]."""
        scores = functional.log_softmax(logits_of(self.network, crops), dim=1)
        sure: NDArray[np.float64] = scores[torch.arange(len(crops)), torch.from_numpy(class_ids)].double().numpy()
        return sure


def logits_of(network: Callable[[torch.Tensor], torch.Tensor], crops: NDArray[np.uint8]) -> torch.Tensor:
    """Logits [m, classes] of uint8 [m, S, S, 3], in batches, without gradients; a network must be in eval mode."""
    with torch.no_grad():
        parts = [network(as_input(crops[at : at + _FORWARD])) for at in range(0, len(crops), _FORWARD)]
    return torch.cat(parts)


def train_teacher(
    pictures: Pictures,
    class_names: Sequence[str],
    *,
    architecture: str = "convnet-w64",
    side_px: int = 28,
    window: float = 0.4375,
    steps: int = 2500,
    rate: float = 2e-3,
    seed: int = 0,
    advance: Advance,
) -> Teacher:
    """A teacher trained on random crops of the training images, hard labels, AdamW with a cosine schedule.

    A crop's side is between `window` and 1 of the image's; where a true box is known, half of the crops are that box, so
    that the teacher is sure of whole objects and unsure of clutter. Every tenth image (see `held_out`) is left out.
    """
    pictures = pictures.take(np.flatnonzero(~held_out(len(pictures))).tolist())
    canvas_px = round(side_px / window)
    whole = [pictures.whole(number) for number in range(len(pictures))]
    canvases = pictures.crops(range(len(pictures)), whole, canvas_px)
    boxes = torch.tensor([_relative(pictures, number) for number in range(len(pictures))])
    labels = torch.from_numpy(pictures.labels)
    network = build(architecture, len(class_names), side_px, seed).train()
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    schedule = one_cycle(optimiser, rate, steps)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(labels), (_BATCH,), generator=draw)
        views = _views(as_input(canvases[rows.numpy()]), boxes[rows], window, side_px, draw)
        loss = functional.cross_entropy(network(views), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        advance(1)
    return Teacher(network.eval(), architecture, tuple(class_names), side_px, steps, seed)


def one_cycle(optimiser: torch.optim.Optimizer, rate: float, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """A tenth of the steps up to the rate, then down along a cosine."""
    warm_up = 0.1 if steps != 10 else 0.2  # of a single step torch makes a division by zero
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=warm_up)


def held_out(count: int) -> NDArray[np.bool_]:
    """bool [count]: which images a teacher is not trained on but checked with."""
    chosen: NDArray[np.bool_] = np.arange(count) % _HELD_OUT == 0
    return chosen


def _relative(pictures: Pictures, number: int) -> tuple[float, float, float, float]:
    """A true box as (width, height, right, down) of `sampled`; not a number where it is unknown."""
    box, whole = pictures.boxes[number], pictures.whole(number)
    if box is None:
        return (float("nan"),) * 4
    return (
        box.width / whole.width,
        box.height / whole.height,
        (2 * box.left + box.width) / whole.width - 1.0,
        (2 * box.top + box.height) / whole.height - 1.0,
    )


def _views(
    images: torch.Tensor, boxes: torch.Tensor, window: float, side_px: int, draw: torch.Generator
) -> torch.Tensor:
    count = len(images)
    side = window + (1.0 - window) * torch.rand(count, generator=draw)
    centre = (2.0 * torch.rand(count, 2, generator=draw) - 1.0) * (1.0 - side)[:, None]
    drawn = torch.stack([side, side, centre[:, 0], centre[:, 1]], dim=1)
    on_object = (torch.rand(count, generator=draw) < 0.5) & ~boxes[:, 0].isnan()
    shape = torch.where(on_object[:, None], boxes, drawn)
    mirror = 1.0 - 2.0 * (torch.rand(count, generator=draw) < 0.5).float()
    return sampled(images, shape[:, 0] * mirror, shape[:, 1], shape[:, 2], shape[:, 3], side_px)


def save_teacher(teacher: Teacher, path: Path) -> None:
    """Writes the teacher's file, whole or not at all."""
    _write(_packed(teacher), path)


def load_teacher(path: Path) -> Teacher:
    """Reads a file of `save_teacher`; raises SelectorError if it is none."""
    with _foreign(path, "is no teacher"):
        return _unpacked(torch.load(path, weights_only=True))


def write_networks(networks: Sequence[Teacher], path: Path) -> None:
    """Writes several networks into one file, whole or not at all."""
    _write({"networks": [_packed(network) for network in networks]}, path)


def read_networks(path: Path) -> tuple[Teacher, ...]:
    """Reads a file of `write_networks`; raises SelectorError if it is none."""
    with _foreign(path, "holds no networks"):
        return tuple(_unpacked(content) for content in torch.load(path, weights_only=True)["networks"])


def _packed(teacher: Teacher) -> dict[str, Any]:
    about = {name: value for name, value in vars(teacher).items() if name != "network"}
    return {"about": about, "weights": teacher.network.state_dict()}


def _unpacked(content: dict[str, Any]) -> Teacher:
    about = content["about"]
    network = build(about["architecture"], len(about["class_names"]), about["side_px"], 0)
    network.load_state_dict(content["weights"])
    return Teacher(network.eval(), **about)


def _write(value: dict[str, Any], path: Path) -> None:
    content = io.BytesIO()  # torch itself would say of a full disk that it failed, and not why
    torch.save(value, content)
    write_bytes(path, content.getbuffer())


@contextmanager
def _foreign(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, ValueError, UnpicklingError) as error:
        raise SelectorError(f"{path} {what} written by this program ({type(error).__name__})") from error


def check_teacher(teacher: Teacher, class_names: Sequence[str], pictures: Pictures, least_accuracy: float) -> float:
    """The teacher's accuracy on object crops (true boxes, else whole images) of pictures that it was not trained on.

    Raises MismatchError if its class names or their order are not class_names, if it calls most images of a class by
    another name, or if its accuracy is below least_accuracy.
    """
    if teacher.class_names != tuple(class_names):
        raise MismatchError(
            f"the teacher's classes, in its order, are {', '.join(teacher.class_names)}; the data's are "
            f"{', '.join(class_names)}: train it again (remove its file and pass --teacher-data)"
        )
    boxes = [pictures.boxes[number] or pictures.whole(number) for number in range(len(pictures))]
    crops = pictures.crops(range(len(pictures)), boxes, teacher.side_px)
    said = logits_of(teacher.network, crops).argmax(dim=1).numpy()
    accuracy = float(np.mean(said == pictures.labels))
    confused = []
    for number, name in enumerate(class_names):
        votes = np.bincount(said[pictures.labels == number], minlength=len(class_names))
        if votes.sum() and votes.argmax() != number:
            confused.append(f"{name} is called {class_names[int(votes.argmax())]}")
    if confused or accuracy < least_accuracy:
        raise MismatchError(
            f"the teacher is right on {accuracy:.1%} of {len(pictures)} held-out objects (needed: {least_accuracy:.0%})"
            + (f"; most often {'; '.join(confused)}: are its classes in another order?" if confused else "")
        )
    return accuracy
