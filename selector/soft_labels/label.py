"""The picks of a written selection get a teacher's labels, once the order of the teacher's classes is known to be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector import __version__
from selector.errors import MismatchError, SelectorError, UsageError
from selector.folders.files import file_errors
from selector.folders.locks import held
from selector.images.class_names import match_classes
from selector.images.datasets import Reader, list_items
from selector.images.decoding import DecodeError, decode
from selector.output.folder import SOFT_LABELS_FILE
from selector.output.picks import handed_out, records
from selector.output.stored import StoredPictures
from selector.output.written import Written
from selector.progress import Progress
from selector.soft_labels.classes import TeacherClasses, claimed_classes, columns_of, other_columns
from selector.soft_labels.networks import Network, are_probabilities, as_logits, open_network
from selector.soft_labels.order import Sample, check_order
from selector.soft_labels.settings import LabelConfig
from selector.soft_labels.table import Labelled, softened, written
from selector.soft_labels.views import drawn, middle, seen

_CHECKED = 10
"""Pictures of a class by which the order is checked."""


@dataclass(frozen=True)
class _Picks:
    """What is handed out, row by row, and the pictures of it."""

    folder: Written
    stored: StoredPictures
    rows: pa.Table

    def pictures(self, per_class: int | None = None) -> Iterator[tuple[dict[str, Any], NDArray[np.uint8]]]:
        """Row and pixels of every pick, or of the first so many of a class."""
        counts = dict.fromkeys(range(len(self.folder.classes)), 0)
        for row, content in zip(records(self.rows), self.stored.contents(self.rows), strict=True):
            counts[row["class_index"]] += 1
            if per_class is None or counts[row["class_index"]] <= per_class:
                yield row, self.stored.pixels(row, content(), self.folder.cut)


def label(config: LabelConfig, progress: Progress) -> dict[str, Any]:
    """Writes soft-labels.parquet beside the picks; returns what its metadata says, and the counts.

    Raises MismatchError, before anything is written, if the teacher's classes stand in another order than is claimed.
    """
    folder = config.folder.resolve()
    Written.read(folder)  # before anything is left beside a folder that holds no selection
    with held(folder.parent, wait=config.wait, note=progress.note), file_errors(folder):
        picks = _picks(Written.read(folder), progress)
        classes = picks.folder.classes
        network = open_network(config, progress.note)
        teacher = claimed_classes(config.teacher_classes, network, classes, progress.note)
        columns = columns_of(classes, teacher)
        truth, told, outputs = _asked(config, picks, network, progress)
        probabilities = are_probabilities(outputs)
        sample = Sample(truth, outputs.argmax(axis=1), told)
        others = other_columns(classes, teacher, columns)
        names = [one.label for one in classes]
        accuracy = check_order(sample, columns, others, config.least_accuracy, teacher.said, names, teacher.labels)
        progress.note(
            f"teacher: right on {accuracy:.1%} of {len(truth)} {told}; {len(others)} other orders fit no better"
        )
        about = {
            **_about(config, picks, network, teacher, columns),
            "outputs_are": "probabilities" if probabilities else "logits",
            "check": {
                "accuracy": round(accuracy, 6),
                "of": config.check.name if config.check else told,
                "pictures": len(truth),
                "other_orders": len(others),
            },
        }
        kept = columns if config.labelled == "data" else np.arange(network.outputs)
        count = _write(folder / SOFT_LABELS_FILE, config, picks, network, kept, probabilities, about, progress)
    return {**about, "labels": str(folder / SOFT_LABELS_FILE), "handed_out": len(picks.rows), "rows": count}


def _picks(folder: Written, progress: Progress) -> _Picks:
    stored = folder.stored()
    if not stored:
        there = ", ".join(folder.stated["formats"])
        raise UsageError(
            f"{folder.folder} holds no pictures ({there}), and a teacher needs some: select again with --export imagefolder "
            "(selector select)"
        )
    if len({one.size for one in stored}) > 1:
        progress.note(
            f"boxes are in pixels of the pictures of {stored[0].name}; {len(stored)} formats have others of their own size"
        )
    return _Picks(folder, stored[0], handed_out(folder.picks, folder.cut.take))


def _asked(
    config: LabelConfig, picks: _Picks, network: Network, progress: Progress
) -> tuple[NDArray[np.int64], str, NDArray[np.float32]]:
    """The classes of labelled pictures, what these are, and what the network says of their middle squares."""
    told = "picks" if config.check is None else f"pictures of {config.check}"
    total, source = _picked(picks) if config.check is None else _sample(config.check, picks.folder)
    side, truth, outputs = network.input.side_px, [], []
    with progress.stage("check", total, "pictures") as advance:
        while batch := list(islice(source, network.batch)):
            truth += [number for number, _ in batch]
            outputs.append(network(np.stack([seen(pixels, middle(*pixels.shape[:2]), side) for _, pixels in batch])))
            advance(len(batch))
    if not truth:
        raise SelectorError(f"there are no {told}, so the order of the teacher's classes can't be checked")
    return np.array(truth, dtype=np.int64), told, np.concatenate(outputs)


_Asked = tuple[int, Iterator[tuple[int, NDArray[np.uint8]]]]
"""How many pictures there are, and of each its class index and pixels."""


def _picked(picks: _Picks) -> _Asked:
    counts = np.bincount(picks.rows["class_index"].to_numpy())
    return int(np.minimum(counts, _CHECKED).sum()), ((row["class_index"], p) for row, p in picks.pictures(_CHECKED))


def _sample(root: Path, folder: Written) -> _Asked:
    """The first images of each class folder."""
    listing = list_items(root).limited(_CHECKED)
    for lost in listing.passed_over:
        raise SelectorError(f"--check: {root / lost.source} can't be used: {lost.reason}")
    ids, names = [one.key for one in folder.classes], [one.name for one in folder.classes]
    try:
        class_index = match_classes(listing.folders, ids, names=names)
    except MismatchError as error:
        raise MismatchError(f"--check takes class folders called as the selection's classes: {error}") from None

    def pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with Reader(listing) as reader:
            for source, name in listing.pairs():
                try:
                    yield class_index[name], decode(reader.read(source))
                except (OSError, DecodeError) as error:
                    raise SelectorError(f"--check: {root / source} can't be used: {error}") from error

    return len(listing), pictures()


def _about(
    config: LabelConfig, picks: _Picks, network: Network, teacher: TeacherClasses, columns: NDArray[np.int64]
) -> dict[str, Any]:
    """What the file says of itself, as JSON values; no path of this machine is in it."""
    classes, stored = picks.folder.classes, picks.stored
    return {
        "selector": __version__,
        "teacher": network.stated(),
        "class_order": teacher.said,
        "labels_of": config.labelled,
        "classes": [one.label for one in classes] if config.labelled == "data" else teacher.labels,
        "outputs": columns.tolist(),
        "temperature": config.temperature,
        "views": config.views,
        "crop_area": list(config.crop_area),
        "seed": config.seed,
        "pictures": {"format": stored.name, "size": stored.size, "image_format": stored.image_format},
    }


def _write(
    path: Path,
    config: LabelConfig,
    picks: _Picks,
    network: Network,
    kept: NDArray[np.int64],
    probabilities: bool,
    about: dict[str, Any],
    progress: Progress,
) -> int:
    """Labels every view and writes the file; returns how many there are. kept: the outputs that a label speaks of."""
    each = max(1, config.views)
    total, most = len(picks.rows) * each, min(config.top_k or len(kept), len(kept))
    source, done = _views(config, picks, network.input.side_px), 0
    with written(path, most, len(kept), about) as writer, progress.stage("label", total, "views") as advance:
        while batch := list(islice(source, network.batch)):
            said = network(np.stack([pixels for _, pixels in batch]))
            writer.add(
                [view for view, _ in batch],
                *softened(as_logits(said, probabilities)[:, kept], config.temperature, most),
            )
            done += len(batch)
            advance(len(batch))
        if done != total:
            raise SelectorError(f"{path}: {done} views were labelled, not {total}: this is a fault of the program")
    return done


def _views(config: LabelConfig, picks: _Picks, side_px: int) -> Iterator[tuple[Labelled, NDArray[np.uint8]]]:
    for row, pixels in picks.pictures():
        height, width = pixels.shape[:2]
        name = picks.stored.name_of(row)
        pick = (row["class_index"], row["rank"], row["image_id"])
        for number in range(max(1, config.views)):
            key = (config.seed, int(row["image_id"], 16), row["rank"], number)
            view = drawn(height, width, config.crop_area, key) if config.views else middle(height, width)
            yield Labelled(name, (height, width), *pick, number, view), seen(pixels, view, side_px)
