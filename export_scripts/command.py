"""`selector export`: flags in, one call, one line out.

python -m export_scripts.command PIPELINE --classes classes.txt --out REPO
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from client.ranges import whole
from export_scripts.class_list import NULL_PROMPT, PROMPT, read_class_list
from export_scripts.errors import ExportError
from export_scripts.settings import (
    CAPABILITIES,
    ONNXRUNTIME,
    PRECISIONS,
    RANGES,
    RUNTIMES,
    TENSORRT_RTX,
    Files,
    Lora,
    Settings,
    Wanted,
)
from export_scripts.steps import Steps
from selector.builtin import CLASS_LISTS, builtin_repository
from selector.commands.mistakes import run_alone
from selector.commands.parameters import CLASSES, DATA, EXISTING, FOLDER, Number, Numbers, Place
from selector.folders.files import check_folder, known, told
from selector.images.locations import Location
from selector.progress import Progress

_FOLDER = Place(file_okay=False)
_BLOCKS = whole(0, 64)
_CAPABILITY = re.compile(r"^[1-9][0-9]?\.[0-9]$")


def _block(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "mid":
        return value
    try:
        return int(_BLOCKS.read(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither 'mid' nor the index of a block") from None


def _blocks(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int | str, ...] | None:
    parts = None if value is None else (_block(context, parameter, part.strip()) for part in value.split(","))
    return None if parts is None else tuple(part for part in parts if part is not None)


def _capabilities(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in value.split(","))
    for part in parts:
        if not _CAPABILITY.match(part):
            raise click.BadParameter(f"{part!r} is no compute capability, such as {CAPABILITIES[0]}")
    return parts


def _loras(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Lora, ...]:
    return tuple(map(_lora, values))


def _lora(value: str) -> Lora:
    path, colon, scale = value.rpartition(":")
    if not colon or Path(value).exists():
        return Lora(Path(value))
    try:
        return Lora(Path(path), float(scale))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} ends in no scale: expected FILE or FILE:SCALE, such as style.safetensors:0.8"
        ) from None
    except ExportError as error:
        raise click.BadParameter(str(error)) from None


def _number(flag: str, told: str, default: int | None = None) -> Callable[[Any], Any]:
    """The option of a setting that has a range."""
    numbers = Number(RANGES[flag.removeprefix("--").replace("-", "_")])
    return click.option(flag, type=numbers, default=default, show_default=default is not None, help=told)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pipeline", required=False)
@click.option(
    "--classes",
    type=CLASSES,
    metavar="FILE|LIST",
    help=(
        f"File of a name, or id<TAB>name, per line, or a built-in list ({', '.join(CLASS_LISTS)}); needed by pipelines with "
        "text encoders; names the labels of a DiT."
    ),
)
@click.option("--variant", help="Variant of the weights that is read, such as fp16 (*.fp16.safetensors).")
@click.option(
    "--config", type=FOLDER, help="Folder of configurations and tokenizers, if PIPELINE is a single file of weights."
)
@click.option(
    "--lora",
    "loras",
    multiple=True,
    metavar="FILE[:SCALE]",
    callback=_loras,
    help="LoRA added to the weights, a file or a folder; may be given several times.",
)
@click.option("--allow-pickle", is_flag=True, help="Read .bin and .ckpt files too; safetensors need no trust.")
@click.option("--out", "out_dir", type=_FOLDER, help="The repository to write; an earlier export there is replaced.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default=ONNXRUNTIME, show_default=True, help="What serves it.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the weights.")
@_number("--resolution", "Side of images in pixels; default: the pipeline's.")
@_number("--max-batch", "Rows per request and run.", 16)
@click.option("--prompt", default=PROMPT, show_default=True, help="Prompt of a class.")
@click.option("--null-prompt", default=NULL_PROMPT, show_default=True, help="Prompt without a class.")
@click.option("--truncate", is_flag=True, help="Cut prompts to what the text encoder takes, and say so.")
@_number("--dift-timestep", "Timestep of features; default: the pipeline's own, else 161.")
@click.option(
    "--dift-block",
    callback=_block,
    help="'mid' or an up-block's index (of a DiT: a block's); default: the pipeline's own, else 1 (the middle one).",
)
@_number("--draws", "Size of the draw bank, a power of two.", 64)
@_number(
    "--t-min",
    "Start of the scored band, of the schedule; default: the pipeline's, else 0.1 (of a DiT: where it has as much noise).",
)
@_number("--t-max", "End of the scored band; default: the pipeline's own, else 0.7 (likewise).")
@click.option(
    "--compute-capability",
    "capabilities",
    default=",".join(CAPABILITIES),
    show_default=True,
    callback=_capabilities,
    help="GPUs of preflighted engines.",
)
@_number("--workspace-gb", "GiB of scratch memory that an engine may take; default: all.")
@_number("--gate-resolution", "Image side at which a model too large for its own is checked.")
@click.option("--gate-images", type=EXISTING, help="Images of the fp16 gate.")
@click.option("--served-gate/--no-served-gate", default=None, help="Whether a real server must load it first.")
@click.option("--reuse", type=FOLDER, help="An exported repository.")
@click.option("--compare-features", type=DATA, help="Labelled images: say which block and timestep suits them best.")
@click.option(
    "--feature-blocks", callback=_blocks, help="Candidates, such as mid,0,1; default: all, or some from all over."
)
@click.option(
    "--feature-timesteps",
    type=Numbers(RANGES["dift_timestep"]),
    help="Candidates; default: from 5 to 45 hundredths of the schedule.",
)
@click.option("--feature-images", type=Number(whole(4, 100_000)), help="How many are looked at; default: 300.")
@click.option("--check-only", is_flag=True, help="Pass every gate, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One machine-readable object on stdout.")
def main(
    pipeline: str | None,
    classes: Path | None,
    out_dir: Path | None,
    reuse: Path | None,
    check_only: bool,
    as_json: bool,
    compare_features: Path | Location | None,
    **flags: Any,
) -> None:
    """Turn a diffusers PIPELINE into a Triton repository; a gate that fails leaves nothing.

    PIPELINE is a folder, a hub id, or a single file of weights with --config.

    With --reuse REPO an exported repository is taken instead: --classes gives it a new list of classes, --runtime
    tensorrt adds plans for this machine's GPU, and --check-only --runtime tensorrt-rtx tries its graphs in the builder. Golden
    rows, by which clients check a server's answers, are added where an older export lacks them.
    --compare-features DATA exports nothing: it prints a table, and as its last line the flags of the best features.
    """
    if out_dir is not None:
        check_folder(out_dir, "--out")
    steps, compared = Steps(), {name: flags.pop(f"feature_{name}") for name in ("images", "blocks", "timesteps")}
    compared = {name: value for name, value in compared.items() if value is not None}
    if compare_features is None and compared:
        raise click.UsageError(f"--feature-{next(iter(compared))} says something to --compare-features DATA alone")
    if compare_features is not None and (pipeline is None or out_dir or reuse or check_only):
        raise click.UsageError(
            "--compare-features needs a PIPELINE and writes nothing: no --out, --reuse and --check-only"
        )
    try:
        files = Files(**{k: flags.pop(k) for k in tuple(flags) if k in Files.__dataclass_fields__})
        wanted = Wanted(files=files, **{k: flags.pop(k) for k in tuple(flags) if k in Wanted.__dataclass_fields__})
        settings = Settings(**flags)
    except ExportError as error:
        raise click.UsageError(str(error)) from None
    try:
        if classes is not None:
            listed = read_class_list(classes)
            wanted = replace(wanted, classes=listed.ids, class_names=listed.names)
        if pipeline is not None and compare_features is not None:
            _compare(pipeline, wanted, {"data": compare_features, **compared}, as_json)
            return
        done = _run(pipeline, out_dir, reuse, check_only, settings, wanted, steps)
    except ExportError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
    except OSError as error:
        if not known(error):
            raise
        raise click.ClickException(told(error, out_dir or reuse)) from error
    report = {"repository": str(done) if done else None, "steps": [asdict(step) for step in steps.done]}
    click.echo(json.dumps(report, indent=2) if as_json else done or "every gate passed, nothing was written")


def _compare(pipeline: str, wanted: Wanted, asked: dict[str, Any], as_json: bool) -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # as below
    from export_scripts.features.comparison import Comparing, compare_features
    from export_scripts.pipelines.source import find_pipeline

    progress, folder = Progress(), find_pipeline(pipeline, wanted.files.variant)
    found = compare_features(folder, wanted, Comparing(**asked), progress, progress.note)
    click.echo(json.dumps(found.record(), indent=2) if as_json else found.text())


def _run(
    pipeline: str | None,
    out_dir: Path | None,
    reuse: Path | None,
    check_only: bool,
    settings: Settings,
    wanted: Wanted,
    steps: Steps,
) -> Path | None:
    """What the flags ask for; returns the repository that was written, if any."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it warns of image processors that nothing here uses
    from export_scripts import export  # which take seconds to import: not for --help
    from export_scripts import reuse as reused
    from export_scripts.engines.engines import add_engines, preflight
    from export_scripts.pipelines.source import find_pipeline
    from export_scripts.repository.exported import read_exported

    variant = wanted.files.variant
    if reuse is not None or (check_only and pipeline is None):
        if out_dir is not None:
            raise click.UsageError("--reuse works on a repository in place: it takes no --out")
        if wanted.files != Files() and (check_only or wanted.classes is None):
            raise click.UsageError(
                "--variant, --config, --lora and --allow-pickle say which weights of a PIPELINE are read, and nothing here is"
            )
        place = reuse or builtin_repository()
        if check_only:
            if settings.runtime != TENSORRT_RTX:
                raise click.UsageError("--check-only without a PIPELINE preflights engines: add --runtime tensorrt-rtx")
            preflight(read_exported(place), settings, steps, keep=False)
            return None
        if wanted.classes is not None:
            reused.replace_classes(place, wanted, find_pipeline(pipeline, variant) if pipeline else None, steps)
        else:
            reused.add_golden_rows(place, steps)
        add_engines(place, settings, steps)
        return place
    if pipeline is None:
        raise click.UsageError("a PIPELINE is needed, or --reuse REPO")
    folder = find_pipeline(pipeline, variant)
    if check_only:
        with TemporaryDirectory(prefix="selector-export-") as scratch:
            export.export_pipeline(folder, Path(scratch) / "repository", settings, wanted, steps)
        return None
    if out_dir is None:
        raise click.UsageError("--out REPO is needed, or --check-only")
    export.export_pipeline(folder, out_dir, settings, wanted, steps)
    return out_dir


if __name__ == "__main__":
    run_alone(main, "export_scripts.command")
