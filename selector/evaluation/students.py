"""One student, trained from scratch on a selection and tested.

Soft labels are RDED's protocol (Sun et al. 2024, after FKD): the teacher labels the very crops, cut and mixed, that the
student sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from selector.evaluation.architectures import build
from selector.evaluation.augmentation import as_input, cut_and_mix, random_crops, tile_crops
from selector.evaluation.inference import Inference
from selector.evaluation.settings import Recipe
from selector.evaluation.teacher import Teacher, logits_of, one_cycle


@dataclass(frozen=True)
class LabelledCrops:
    """images: uint8 [n, S, S, 3]. labels: int64 [n]. mosaics: whether each image is four, in quarters."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    mosaics: bool = False


@dataclass(frozen=True)
class Tested:
    """Accuracies in [0, 1] on one test view after `steps`[i] optimiser steps. `last` is what is reported."""

    steps: tuple[int, ...]
    accuracies: tuple[float, ...]

    @property
    def last(self) -> float:
        """The accuracy after the last step."""
        return self.accuracies[-1]

    @property
    def best(self) -> float:
        """The greatest accuracy at any checkpoint: chosen on the test set, hence never a result."""
        return max(self.accuracies)


def train_student(
    selection: LabelledCrops,
    views: Mapping[str, LabelledCrops],
    architecture: str,
    classes: int,
    recipe: Recipe,
    seed: int,
    teacher: Teacher | None,
) -> dict[str, Tested]:
    """Accuracies by test view. teacher: gives soft labels; without one the labels are the selection's own, hard ones.

    The same arguments give the same numbers on one machine.
    """
    crops = tile_crops if selection.mosaics and recipe.crops == "tile" else random_crops
    images, truth = as_input(selection.images), torch.from_numpy(selection.labels)
    network = build(architecture, classes, recipe.side_px, seed).train()
    label = Inference(teacher.network, recipe.precision) if teacher else None
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = one_cycle(optimiser, recipe.rate, recipe.steps)
    draw = torch.Generator().manual_seed(seed)
    at = [round(recipe.steps * (turn + 1) / recipe.checkpoints) for turn in range(recipe.checkpoints)]
    found: dict[str, list[float]] = {name: [] for name in views}
    for step, rows in enumerate(_batches(len(truth), recipe.batch, recipe.steps, draw), 1):
        target = functional.one_hot(truth[rows], classes).float()
        seen = crops(images[rows], recipe.least_area, draw)
        if float(torch.rand((), generator=draw)) < recipe.cutmix:
            seen, partner, kept = cut_and_mix(seen, draw)
            target = kept * target + (1.0 - kept) * target[partner]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = network(seen)
        loss = _loss(logits.float(), target, label(seen) if label else None, recipe.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step in at:
            answer = Inference(network, recipe.precision)
            for name, view in views.items():
                said = logits_of(answer, view.images).argmax(dim=1).numpy()
                found[name].append(float(np.mean(said == view.labels)))
    return {name: Tested(tuple(at), tuple(values)) for name, values in found.items()}


def _batches(count: int, size: int, steps: int, draw: torch.Generator) -> Iterator[torch.Tensor]:
    """Rows of `steps` batches from one shuffle of all rows after another."""
    size = min(size, count)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=draw)])
        yield left[:size]
        left = left[size:]


def _loss(
    logits: torch.Tensor, target: torch.Tensor, teacher_logits: torch.Tensor | None, temperature: float
) -> torch.Tensor:
    """Cross-entropy to the labels, or the divergence from the teacher's softened answer if there is one."""
    if teacher_logits is None:
        return functional.cross_entropy(logits, target)
    wanted = functional.softmax(teacher_logits / temperature, dim=1)
    said = functional.log_softmax(logits / temperature, dim=1)
    return functional.kl_div(said, wanted, reduction="batchmean") * temperature**2
