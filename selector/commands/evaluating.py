"""`selector evaluate` on the command line. What needs torch is imported inside the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from selector.commands.configuration import finish
from selector.commands.options import json_option, number, option
from selector.commands.parameters import EXISTING, FOLDER, PATH, Numbers
from selector.config import EVALUATE_RANGES
from selector.errors import SelectorError, UsageError
from selector.folders.files import check_file, check_folder
from selector.progress import Progress

CHOOSE_TAKES = ("store", "out", "test", "data", "ipc", "pools", "students", "recipe", "seed", "threads")
"""The parameters that --choose leaves to its user."""


@click.command()
@option("--store", type=FOLDER, required=True, help="Folder of a scored store.")
@option(
    "--test",
    type=EXISTING,
    help="Folder or tar of class folders; boxes.csv gives object crops. --choose may go without.",
)
@option("--out", type=PATH, required=True, help="Folder of runs and tables; an existing one is gone on with.")
@option(
    "--choose",
    is_flag=True,
    help="Compare patches and whole images, in the default order and at random, and say which --take and --order to use.",
)
@option("--data", type=EXISTING, help="Where the images lie now; default: where they were scored.")
@option(
    "--teacher", type=PATH, help="File of the teacher, if one is asked; default: teacher.pt in OUT, trained if missing."
)
@option("--teacher-data", type=EXISTING, help="Training split, as --test, that the teacher is trained on.")
@option("--teacher-architecture", default="convnet-w64", help="Architecture of a teacher that is trained.")
@number("--teacher-steps", ranges=EVALUATE_RANGES, default=2500, help="Optimiser steps of the teacher.")
@option("--methods", default="rded,random-image,random-patch,clusters,herding", help="What is compared.")
@option("--reference", default="rded", help="Method that the others are compared with.")
@option("--ipc", type=Numbers(EVALUATE_RANGES["ipc"]), default="10", help="Images per class, one or several: 1,10,50.")
@number("--pools", ranges=EVALUATE_RANGES, default=8, help="Resampled pools, each with a student seed of its own.")
@number("--pool-size", ranges=EVALUATE_RANGES, default=150, help="Images of a class in a pool.")
@option("--students", default="convnet", help="Architectures of students.")
@option("--labels", default="soft", help="soft (of the teacher), hard, or both.")
@option(
    "--recipe", default="", help="What differs from the recipe of students, as NAME=VALUE,…: steps=300,precision=bf16."
)
@option("--mosaic", type=click.Choice(["1", "4"]), default="1", help="Patches of one training image.")
@number("--threads", ranges=EVALUATE_RANGES, default=1, help="Threads of torch.")
@number("--seed", ranges=EVALUATE_RANGES, default=0, help="Seed of pools, teacher and students.")
@json_option
@click.pass_context
def evaluate(context: click.Context, /, as_json: bool, choose: bool, **flags: Any) -> None:
    """Train students on selections and compare methods (needs the extra `evaluate`)."""
    if choose:
        _choose(_given(context, flags), as_json)
        return
    from selector.evaluation.settings import config_of

    config = config_of(flags)
    check_folder(config.out, "--out")
    if not config.teacher.exists():
        check_file(config.teacher, "--teacher")
    with _extra():
        from selector.evaluation.evaluate import evaluate as evaluate_all
    result = evaluate_all(config, Progress(quiet=as_json))
    finish(result, as_json, f"{config.out / 'results.md'}: {result['runs']} students")


def _given(context: click.Context, flags: dict[str, Any]) -> dict[str, Any]:
    """What stands on the command line, in the environment or in the file; raises UsageError for what --choose decides."""
    given = {
        name: value
        for name, value in flags.items()
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
    }
    others = [f"--{name.replace('_', '-')}" for name in given if name not in CHOOSE_TAKES]
    if others:
        raise UsageError(f"--choose decides by itself what {', '.join(others)} would say: leave it out")
    return given


def _choose(given: dict[str, Any], as_json: bool) -> None:
    check_folder(given["out"], "--out")
    with _extra():
        from selector.evaluation.choosing import ChooseConfig, choose, told
    result = choose(ChooseConfig(**given), Progress(quiet=as_json))
    finish(result, as_json, told(result))


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SelectorError(
            f"evaluate needs {error.name!r}: install the extra with pip install 'diffusion-selector[evaluate]'"
        ) from None
