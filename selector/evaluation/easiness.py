"""How hard an image is early in training: EL2N, and the networks that say it, trained once and kept beside the teacher.

EL2N (Paul et al., "Deep Learning on a Data Diet", NeurIPS 2021) is the norm of the error, ‖p − y‖₂: p the probabilities
that a network gives the classes after a short training, y the one-hot label; its mean over networks of several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from selector.errors import MismatchError
from selector.evaluation.pictures import Pictures
from selector.evaluation.teacher import Teacher, logits_of, read_networks, train_teacher, write_networks
from selector.progress import Advance

NETWORKS = 3
SHARE_OF_STEPS = 10
"""A network is trained for the teacher's steps divided by this."""


@dataclass(frozen=True)
class Committee:
    """Networks of several seeds, trained on whole images for a short time."""

    members: tuple[Teacher, ...]

    def error_norm(self, class_ids: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """EL2N, float64 [m], from 0 (easy) to √2. images: uint8 [m, side_px, side_px, 3], whole."""
        norms = [_error_norm(member, class_ids, images) for member in self.members]
        mean: NDArray[np.float64] = np.mean(norms, axis=0)
        return mean


def _error_norm(member: Teacher, class_ids: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    said = functional.softmax(logits_of(member.network, images).double(), dim=1)
    wanted = functional.one_hot(torch.from_numpy(class_ids), len(member.class_names))
    norm: NDArray[np.float64] = torch.linalg.vector_norm(said - wanted, dim=1).numpy()
    return norm


def committee_file(teacher: Path) -> Path:
    """Where the networks lie, beside the teacher's file."""
    return teacher.with_suffix(".el2n.pt")


def short_steps(teacher_steps: int) -> int:
    """Optimiser steps of each network beside a teacher of so many."""
    return max(1, teacher_steps // SHARE_OF_STEPS)


def train_committee(
    pictures: Pictures,
    class_names: Sequence[str],
    *,
    architecture: str,
    side_px: int,
    steps: int,
    seed: int,
    advance: Advance,
) -> Committee:
    """Networks trained on the whole images of the teacher's data, mirrored at random; true boxes are not looked at."""
    unboxed = replace(pictures, boxes=(None,) * len(pictures))
    members = [
        train_teacher(
            unboxed,
            class_names,
            architecture=architecture,
            side_px=side_px,
            window=1.0,
            steps=steps,
            seed=seed + number,
            advance=advance,
        )
        for number in range(NETWORKS)
    ]
    return Committee(tuple(members))


def save_committee(committee: Committee, path: Path) -> None:
    """Writes the networks' file, whole or not at all."""
    write_networks(committee.members, path)


def load_committee(path: Path, class_names: Sequence[str], side_px: int) -> Committee:
    """Reads a file of `save_committee`; raises MismatchError if its networks are for other classes or images."""
    committee = Committee(read_networks(path))
    for member in committee.members:
        if member.class_names != tuple(class_names) or member.side_px != side_px:
            raise MismatchError(
                f"the networks in {path} see {member.side_px} px and know {', '.join(member.class_names)}; here are "
                f"{side_px} px and {', '.join(class_names)}: train them again (remove the file and pass --teacher-data)"
            )
    return committee
