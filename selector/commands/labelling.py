"""`selector label` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selector.commands.configuration import finish
from selector.commands.options import json_option, number, option, wait_option
from selector.commands.parameters import CLASSES, EXISTING, FOLDER, Numbers
from selector.folders.files import check_folder
from selector.progress import Progress
from selector.soft_labels.settings import LABEL_RANGES, LABELLED, LabelConfig


@click.command()
@click.argument("folder", type=FOLDER)
@option(
    "--teacher",
    required=True,
    metavar="SPEC",
    help="Teacher: a file (teacher.pt of `evaluate`, TorchScript, .onnx), or timm:NAME.",
)
@option(
    "--teacher-classes",
    type=CLASSES,
    metavar="FILE|LIST",
    help="The teacher's classes in its order, lines `name` or `id<TAB>name`, or a built-in list; default: its file's own.",
)
@option("--check", type=EXISTING, help="Labelled images, as DATA, that the order is checked on; default: the picks.")
@number(
    "--least-accuracy",
    ranges=LABEL_RANGES,
    default=LabelConfig.least_accuracy,
    help="Share of these that the teacher must know; it is refused below.",
)
@option(
    "--label-classes",
    "labelled",
    type=click.Choice(LABELLED),
    default=LabelConfig.labelled,
    help="Classes of a label: the data's alone, which sum to one then, or all of the teacher's.",
)
@number(
    "--views", ranges=LABEL_RANGES, default=LabelConfig.views, help="Views of each picture; 0: its middle square once."
)
@option(
    "--crop-area",
    type=Numbers(LABEL_RANGES["crop_area"]),
    default="0.4,1",
    help="Least and greatest share of the picture that a view shows.",
)
@number(
    "--temperature",
    ranges=LABEL_RANGES,
    default=LabelConfig.temperature,
    help="The teacher's logits are divided by it.",
)
@number(
    "--top-k", ranges=LABEL_RANGES, default=LabelConfig.top_k, help="Most probable classes that a label keeps; 0: all."
)
@number("--input-side", ranges=LABEL_RANGES, help="Side of the teacher's input; default: as its file says, or 224.")
@option(
    "--mean",
    type=Numbers(LABEL_RANGES["mean"]),
    metavar="R,G,B",
    help="Subtracted from channels of [0, 1]; default: as the teacher's file says, or ImageNet's.",
)
@option("--std", type=Numbers(LABEL_RANGES["std"]), metavar="R,G,B", help="Divides them then; default: likewise.")
@number("--batch", ranges=LABEL_RANGES, default=LabelConfig.batch, help="Pictures that the teacher sees at once.")
@number("--seed", ranges=LABEL_RANGES, default=LabelConfig.seed, help="Seed of the views.")
@number(
    "--threads", ranges=LABEL_RANGES, default=LabelConfig.threads, help="Threads of the teacher; 0: one on each core."
)
@wait_option
@json_option
def label(folder: Path, as_json: bool, **flags: Any) -> None:
    """Write a teacher's soft labels of a selection (OUT/ipc-N) beside its picks: soft-labels.parquet."""
    config = LabelConfig(folder, **flags)
    check_folder(folder.resolve(), "FOLDER")
    from selector.soft_labels.label import label as label_all

    made = label_all(config, Progress(quiet=as_json))
    finish(
        made,
        as_json,
        f"{made['labels']}: {made['rows']} labels of {made['handed_out']} pictures, {len(made['classes'])} classes",
    )
