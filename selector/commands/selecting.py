"""The main job on the command line: run, score, select, report. Work lies in the modules they call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from selector.commands.configuration import (
    LABELS,
    check_failures,
    check_scoring,
    finish,
    labels_of,
    score_config,
    selection_config,
)
from selector.commands.export_options import export_options
from selector.commands.options import (
    exclude_option,
    json_option,
    labels_options,
    number,
    option,
    relist_option,
    scoring_options,
    selection_options,
    wait_option,
)
from selector.commands.parameters import DATA, FOLDER, PATH
from selector.commands.parts import part_of, part_options, ray_option, ray_options
from selector.config import SELECT_RANGES, SelectConfig
from selector.folders.files import check_folder
from selector.images.locations import Data
from selector.progress import Progress


@click.command()
@click.argument("data", type=DATA, required=False)
@number("--ipc", ranges=SELECT_RANGES, required=True, help="Images per class.")
@option("--out", type=PATH, help="Output folder; default: runs/demo, or runs/<name of DATA>.")
@scoring_options
@ray_options
@selection_options
@export_options
@wait_option
@json_option
def run(data: Data | None, ipc: int, out: Path | None, as_json: bool, **flags: Any) -> None:
    """Score what is not yet scored, then select, export and report."""
    named, out = out is not None, out or Path("runs") / (data.resolve().name if data else "demo")
    selection = selection_config(flags | {"ray": None}, ipc, out)  # it scores on the cluster, and orders here
    scoring = score_config(flags, data, out / "store")
    progress = Progress(quiet=as_json)
    check_folder(out, "--out")
    check_scoring(scoring, progress)
    from selector.run import run as run_all
    from selector.store.outcomes_table import outcomes_path

    manifest = run_all(scoring, selection, progress, named_out=named)
    finish(manifest, as_json, f"{out / f'ipc-{ipc}'}: {manifest['counts']['handed_out']} images, see report.html")
    check_failures(scoring, manifest["counts"], f"the manifest, the report and {outcomes_path(scoring.store)}")


@click.command()
@click.argument("data", type=DATA, required=False)
@option("--store", type=PATH, required=True, help="Folder of the store; an existing one is resumed.")
@scoring_options
@ray_options
@part_options
@wait_option
@json_option
def score(data: Data | None, store: Path, part: str | None, as_json: bool, **flags: Any) -> None:
    """Score images and describe their patches into the store; resumes, and shares the work with others that do the same."""
    scoring = score_config({**flags, "part": part_of(part, os.environ)}, data, store)
    progress = Progress(quiet=as_json)
    if scoring.part[1] > 1:
        progress.note(f"part {scoring.part[0] + 1}/{scoring.part[1]}")
    check_scoring(scoring, progress)
    from selector.scoring.score import score as score_all
    from selector.store.losses import across_lines
    from selector.store.outcomes_table import outcomes_path

    done = score_all(scoring, progress)
    for line in across_lines(done.view.crossings):
        progress.warn(line)
    report = done.as_dict()
    finish(report, as_json, f"{store}: {report['counts']['scored']} images scored")
    check_failures(scoring, report["counts"], f"the lines of {outcomes_path(store)}")


@click.command()
@option("--store", type=FOLDER, required=True, help="Folder of a scored store.")
@number("--ipc", ranges=SELECT_RANGES, required=True, help="Images per class.")
@option("--out", type=PATH, required=True, help="Output folder.")
@option("--data", type=DATA, help="Where the images lie now; default: where they were scored.")
@selection_options
@export_options
@labels_options
@exclude_option
@relist_option
@number(
    "--workers",
    ranges=SELECT_RANGES,
    default=SelectConfig.workers,
    help="Processes that order classes; 0: two more than cores.",
)
@ray_option("Order classes")
@wait_option
@json_option
def select(store: Path, ipc: int, out: Path, data: Data | None, as_json: bool, **flags: Any) -> None:
    """Select from a scored store, offline: no server, no torch."""
    selection = selection_config(flags, ipc, out)
    check_folder(out, "--out")
    from selector.run import select as select_from

    manifest = select_from(store, data, selection, Progress(quiet=as_json))
    finish(manifest, as_json, f"{out / f'ipc-{ipc}'}: {manifest['counts']['handed_out']} images, see report.html")


@click.command()
@option("--store", type=FOLDER, required=True, help="Folder of a scored store.")
@number("--ipc", ranges=SELECT_RANGES, required=True, help="Images per class.")
@option("--out", type=PATH, required=True, help="Output folder of an earlier selection.")
@option("--data", type=DATA, help="Where the images lie now; default: where they were scored.")
@selection_options
@labels_options
@relist_option
@wait_option
@json_option
@click.pass_context
def report(
    context: click.Context,
    /,
    store: Path,
    ipc: int,
    out: Path,
    data: Data | None,
    relist: bool,
    wait: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write report.html of an earlier selection again, from the store; its order and seed are that selection's."""
    from selector.run import report as write_again

    labels = labels_of(flags)
    asked = {
        name: flags[name]
        for name in flags
        if name not in LABELS and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    page = write_again(store, data, out, ipc, asked, Progress(quiet=as_json), wait, relist, labels)
    finish({"report": str(page)}, as_json, str(page))
