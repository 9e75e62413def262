"""The networks that soft labels and methods of others ask: loaded, or trained on the labelled data where they are missing.

What no method and no label asks is neither loaded nor trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from selector.errors import UsageError
from selector.evaluation.baselines import Judges
from selector.evaluation.easiness import (
    NETWORKS,
    Committee,
    committee_file,
    load_committee,
    save_committee,
    short_steps,
    train_committee,
)
from selector.evaluation.methods import asks_error_norm, asks_teacher
from selector.evaluation.pictures import Pictures, read_data_set, read_pictures
from selector.evaluation.settings import EvaluateConfig
from selector.evaluation.teacher import Teacher, check_teacher, held_out, load_teacher, save_teacher, train_teacher
from selector.images.class_names import match_classes
from selector.images.datasets import list_items
from selector.progress import Progress


@dataclass(frozen=True)
class Networks:
    """accuracy: the teacher's, by what it was checked with."""

    teacher: Teacher | None
    committee: Committee | None
    accuracy: dict[str, float]

    def judges(self, side_px: int) -> Judges:
        """What methods may ask of them."""
        return Judges(
            side_px,
            self.teacher.confidence if self.teacher else None,
            self.committee.error_norm if self.committee else None,
        )

    def digests(self) -> dict[str, str]:
        """16 hex digits of the weights, by the name that conditions have."""
        found: dict[str, tuple[Teacher, ...]] = {
            "teacher": (self.teacher,) if self.teacher else (),
            "easiness": self.committee.members if self.committee else (),
        }
        return {
            name: digest(*(value.numpy() for member in members for value in member.network.state_dict().values()))
            for name, members in found.items()
            if members
        }


def digest(*arrays: NDArray[Any]) -> str:
    """16 hex digits of the arrays' values."""
    made = hashlib.blake2b(digest_size=8)
    for array in arrays:
        made.update("\n".join(map(str, array)).encode() if array.dtype == object else array.tobytes())
    return made.hexdigest()


def networks_of(
    config: EvaluateConfig, names: Sequence[str], window: float, test: Pictures, progress: Progress
) -> Networks:
    """What the configuration's methods and labels ask. window: side of this system's windows as a share of the image's."""
    teacher, accuracy, committee = None, dict[str, float](), None
    if "soft" in config.labels or any(map(asks_teacher, config.methods)):
        teacher, accuracy = _checked_teacher(config, names, window, test, progress)
    elif config.teacher.exists():
        progress.note("labels are hard and no method asks the teacher: it is left alone")
    if any(map(asks_error_norm, config.methods)):
        committee = _committee(config, names, progress)
    return Networks(teacher, committee, accuracy)


def _committee(config: EvaluateConfig, names: Sequence[str], progress: Progress) -> Committee:
    path = committee_file(config.teacher)
    if not path.exists():
        pictures = _data_to_train(config, path, names, "the networks of el2n-easy")
        steps = short_steps(config.teacher_steps)
        with progress.stage("el2n", NETWORKS * steps, "steps") as advance:
            committee = train_committee(
                pictures,
                names,
                architecture=config.teacher_architecture,
                side_px=config.recipe.side_px,
                steps=steps,
                seed=config.seed,
                advance=advance,
            )
        save_committee(committee, path)
    return load_committee(path, names, config.recipe.side_px)


def _checked_teacher(
    config: EvaluateConfig, names: Sequence[str], window: float, test: Pictures, progress: Progress
) -> tuple[Teacher, dict[str, float]]:
    """The teacher, loaded or trained, with its accuracy on what it was checked with.

    Checked with the held-out tenth of the teacher's data; with the test set if only a file is given (nothing is chosen
    by that, but it may stop the evaluation).
    """
    held = test if config.teacher_data is None else _held_out_pictures(config.teacher_data, names)
    if not config.teacher.exists():
        pictures = _data_to_train(config, config.teacher, names, "the teacher")
        with progress.stage("teacher", config.teacher_steps, "steps") as advance:
            teacher = train_teacher(
                pictures,
                names,
                architecture=config.teacher_architecture,
                side_px=config.recipe.side_px,
                window=window,
                steps=config.teacher_steps,
                seed=config.seed,
                advance=advance,
            )
        save_teacher(teacher, config.teacher)
    teacher = load_teacher(config.teacher)
    if teacher.side_px != config.recipe.side_px:
        raise UsageError(f"the teacher sees {teacher.side_px} px, the students {config.recipe.side_px} px")
    accuracy = check_teacher(teacher, names, held, config.least_accuracy)
    progress.note(f"teacher: {accuracy:.1%} of {len(held)} objects that it was not trained on")
    return teacher, {"test" if config.teacher_data is None else "held out": accuracy}


def _data_to_train(config: EvaluateConfig, path: Path, names: Sequence[str], what: str) -> Pictures:
    if config.teacher_data is None:
        raise UsageError(f"{path} is not there: pass --teacher-data to train {what}")
    return read_data_set(config.teacher_data, names)


def _held_out_pictures(root: Path, names: Sequence[str]) -> Pictures:
    listing = list_items(root)
    class_ids = match_classes(listing.folders, names)
    held = zip(listing.pairs(), held_out(len(listing)), strict=True)
    return read_pictures(listing, {source: class_ids[folder] for (source, folder), kept in held if kept})
