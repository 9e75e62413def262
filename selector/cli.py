"""The `selector` command: flags in, one configuration object out, exit codes back.

Owns the command line. Work lies in the modules it calls; anything that needs torch is imported inside its command.
Precedence: flag, environment (SELECTOR_…), TOML file (--config), default.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from client.allocation import keep_freed_pages
from client.errors import ClientError, ContractError
from client.security import Security, headers_from
from selector import __version__
from selector.builtin import builtin_repository, builtin_scenes
from selector.config import ScoreConfig, SelectConfig
from selector.errors import SelectorError
from selector.progress import Progress

Command = TypeVar("Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_EXISTING = click.Path(path_type=Path, exists=True)


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option that is also read from SELECTOR_<NAME>, and whose default shows in the help."""
    name = next(n for n in names if n.startswith("--")).split("/")[0]
    settings.setdefault("envvar", "SELECTOR_" + name.strip("-").replace("-", "_").upper())
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(*names, **settings)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


security_options = together(
    option("--tls-ca", help="PEM file of the authority of the servers' certificates, or `system`; default: plaintext."),
    option("--tls-cert", type=_EXISTING, help="PEM file of this client's own certificate, for mutual TLS."),
    option("--tls-key", type=_EXISTING, help="PEM file of its key."),
    option(
        "--header-file",
        type=_EXISTING,
        help="File of lines NAME: VALUE sent with every call; the variable SELECTOR_HEADER adds one.",
    ),
)

scoring_options = together(
    option("--server", "servers", help="HOST:PORT[,HOST:PORT…] of running Triton servers; default: the embedded one."),
    security_options,
    option("--repository", type=_EXISTING, help="Triton repository of the embedded server; default: the built-in one."),
    option("--server-log", type=_PATH, help="Where the embedded server logs; default: server.log in the store."),
    option("--rule", help="Scoring rule; default: the repository's own."),
    option("--prior-weight", type=float, help="Weight of the rule's label-free prior; default: the repository's own."),
    option("--draws", type=int, default=12, help="Draws per image; each costs two UNet evaluations."),
    option("--fit", type=click.Choice(["crop", "pad"]), default="crop", help="How an image is fitted to the square."),
    option(
        "--patch-fraction", type=float, help="Window size as a fraction of the image; default: the repository's own."
    ),
    option("--patches-per-image", type=int, default=1, help="Windows taken from an image, without overlap."),
    option("--min-side", type=int, default=8, help="Images with a shorter side (pixels) are filtered."),
    option("--limit-per-class", type=int, default=0, help="Only the first so many files of every class; 0: all."),
    option("--class-names", type=_EXISTING, help="File of lines FOLDER<TAB>CLASS NAME."),
    option("--workers", type=int, default=0, help="Processes that decode; 0: one fewer than there are cores."),
    option("--shard-size", type=int, default=256, help="Images per commit to the store."),
    option("--max-failed", default="1%", help="Failed files allowed before exit code 3: a count or a percentage."),
)

selection_options = together(
    option("--order", default="clusters", help="How a class's patches are put into one order."),
    option(
        "--on-short",
        type=click.Choice(["error", "all", "repeat"]),
        default="error",
        help="A class with fewer patches than IPC: refuse, take all, or repeat.",
    ),
    option("--seed", type=int, default=0, help="Seed of orders that draw at random."),
)

bench_options = together(
    option(
        "--model",
        default="noise_loss",
        help="A served model, or scoring-path: a shard of images through stage I and II.",
    ),
    option(
        "--batch-size",
        "batch",
        type=int,
        default=0,
        help="Rows of a request (images of a shard); 0: the most it takes.",
    ),
    option("--concurrency", default="1,2,4", help="Requests in flight, levels by comma or as FIRST:LAST:STEP."),
    option("--rate", "rates", help="Requests per second, levels by comma, instead of a concurrency."),
    option(
        "--arrivals",
        type=click.Choice(["constant", "poisson"]),
        default="constant",
        help="How requests of a rate arrive.",
    ),
    option("--latency-limit-ms", "limit_ms", type=float, help="Search the highest rate that keeps this latency."),
    option("--percentile", "percent", type=int, default=99, help="Percentile that the search holds to the limit."),
    option("--slo-ms", type=float, help="Count as goodput what is answered within so many milliseconds."),
    option("--window", "window_s", type=float, default=2.0, help="Seconds of a window; three must agree within 10 %."),
    option(
        "--max-windows", "most_windows", type=int, default=10, help="Windows after which a level is called not stable."
    ),
    option("--bare", is_flag=True, help="Time ONNX Runtime in this process too, alternating, and print served ÷ bare."),
    option("--rounds", type=int, default=5, help="Alternating rounds of --bare."),
    option("--round-seconds", "round_s", type=float, default=4.0, help="Seconds of each run in a round of --bare."),
    option("--threads", type=int, default=0, help="Threads of each ONNX session, served and bare; 0: one per core."),
    option("--path-draws", "draws", type=int, default=12, help="Draws per image of the scoring path."),
    option("--seed", type=int, default=0, help="Seed of inputs and arrivals."),
    option("--csv", "csv_file", type=_PATH, help="Write the levels with perf_analyzer's column names."),
    option("--requests", "requests_file", type=_PATH, help="Write one JSON line per request."),
    option("--plot", "plot_file", type=_PATH, help="Write a page that draws latency against load."),
)

json_option = option("--json", "as_json", is_flag=True, help="One machine-readable object on stdout.")


def _configuration_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Values of a TOML file become defaults; a table [run] holds those of one command."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise click.BadParameter(f"{path} is not valid TOML: {error}") from None
    shared = {key.replace("-", "_"): value for key, value in values.items() if not isinstance(value, dict)}
    context.default_map = {
        name: shared | {key.replace("-", "_"): value for key, value in values.get(name, {}).items()}
        for name in cli.commands
    }


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="selector")
@click.option(
    "--config",
    type=_EXISTING,
    callback=_configuration_file,
    is_eager=True,
    expose_value=False,
    help="TOML file of defaults.",
)
def cli() -> None:
    """Diffusion-driven dataset selection: the N most representative patches of every class, for any N."""


@cli.command()
@click.argument("data", type=_EXISTING, required=False)
@option("--ipc", type=int, required=True, help="Images per class.")
@option("--out", type=_PATH, help="Output folder; default: runs/demo, or runs/<name of DATA>.")
@scoring_options
@selection_options
@json_option
def run(data: Path | None, ipc: int, out: Path | None, as_json: bool, **flags: Any) -> None:
    """Score what is not yet scored, then select, export and report."""
    from selector.run import run as run_all

    out = out or Path("runs") / (data.resolve().name if data else "demo")
    selection = _selection_config(flags, ipc, out)
    scoring = _score_config(flags, data, out / "store")
    manifest = run_all(scoring, selection, Progress(quiet=as_json))
    _finish(manifest, as_json, f"{out / f'ipc-{ipc}'}: {manifest['counts']['picked']} images, see report.html")
    _check_failures(scoring, manifest["counts"])


@cli.command()
@click.argument("data", type=_EXISTING, required=False)
@option("--store", type=_PATH, required=True, help="Folder of the store; an existing one is resumed.")
@scoring_options
@json_option
def score(data: Path | None, store: Path, as_json: bool, **flags: Any) -> None:
    """Score images and describe their patches into the store; resumes."""
    from selector.scoring.score import score as score_all

    scoring = _score_config(flags, data, store)
    report = score_all(scoring, Progress(quiet=as_json)).as_dict()
    _finish(report, as_json, f"{store}: {report['counts']['scored']} images scored")
    _check_failures(scoring, report["counts"])


@cli.command()
@option("--store", type=_EXISTING, required=True, help="Folder of a scored store.")
@option("--ipc", type=int, required=True, help="Images per class.")
@option("--out", type=_PATH, required=True, help="Output folder.")
@option("--data", type=_EXISTING, help="Where the images lie now; default: where they were scored.")
@selection_options
@json_option
def select(store: Path, ipc: int, out: Path, data: Path | None, as_json: bool, **flags: Any) -> None:
    """Select from a scored store, offline: no server, no torch."""
    from selector.run import select as select_from

    manifest = select_from(store, data, _selection_config(flags, ipc, out), Progress(quiet=as_json))
    _finish(manifest, as_json, f"{out / f'ipc-{ipc}'}: {manifest['counts']['picked']} images, see report.html")


@cli.command()
@option("--store", type=_EXISTING, required=True, help="Folder of a scored store.")
@option("--ipc", type=int, required=True, help="Images per class.")
@option("--out", type=_PATH, required=True, help="Output folder of an earlier selection.")
@option("--data", type=_EXISTING, help="Where the images lie now; default: where they were scored.")
@selection_options
@json_option
def report(store: Path, ipc: int, out: Path, data: Path | None, as_json: bool, **flags: Any) -> None:
    """Write report.html again from the store."""
    from selector.run import report as write_again

    page = write_again(store, data, _selection_config(flags, ipc, out))
    _finish({"report": str(page)}, as_json, str(page))


@cli.command()
@option("--store", type=_EXISTING, required=True, help="Folder of a scored store.")
@option("--test", type=_EXISTING, required=True, help="Folder or tar of class folders; boxes.csv gives object crops.")
@option("--out", type=_PATH, required=True, help="Folder of runs and tables; an existing one is gone on with.")
@option("--data", type=_EXISTING, help="Where the images lie now; default: where they were scored.")
@option("--teacher", type=_PATH, help="File of the teacher; default: teacher.pt in OUT, trained if it is missing.")
@option("--teacher-data", type=_EXISTING, help="Training split, as --test, that the teacher is trained on.")
@option("--teacher-steps", type=int, default=2500, help="Optimiser steps of the teacher.")
@option("--methods", default="rded,random-image,random-patch,clusters,herding", help="What is compared.")
@option("--reference", default="rded", help="Method that the others are compared with.")
@option("--ipc", default="10", help="Images per class, one or several: 1,10,50.")
@option("--pools", type=int, default=8, help="Resampled pools, each with a student seed of its own.")
@option("--pool-size", type=int, default=150, help="Images of a class in a pool.")
@option("--students", default="convnet", help="Architectures of students.")
@option("--labels", default="soft", help="soft (of the teacher), hard, or both.")
@option("--steps", type=int, default=600, help="Optimiser steps of a student, whatever the IPC.")
@option("--mosaic", type=click.Choice(["1", "4"]), default="1", help="Patches of one training image.")
@option("--threads", type=int, default=1, help="Threads of torch.")
@option("--seed", type=int, default=0, help="Seed of pools, teacher and students.")
@json_option
def evaluate(as_json: bool, **flags: Any) -> None:
    """Train students on selections and compare methods (needs the extra `evaluate`)."""
    from selector.evaluation.settings import config_of

    config = config_of(flags)
    try:
        from selector.evaluation.evaluate import evaluate as evaluate_all
    except ModuleNotFoundError as error:
        raise SelectorError(
            f"evaluate needs {error.name!r}: install the extra with pip install 'diffusion-selector[evaluate]'"
        ) from None
    result = evaluate_all(config, Progress(quiet=as_json))
    _finish(result, as_json, f"{config.out / 'results.md'}: {result['runs']} students")


@cli.command()
@click.argument("repository", type=_EXISTING, required=False)
@option("--grpc-port", type=int, default=8001, help="Port of gRPC on loopback; 0: a free one.")
@option("--http-port", type=int, default=8000, help="Port of HTTP on loopback; 0: a free one.")
@option("--server-log", type=_PATH, help="Where the server logs; default: a temporary file.")
def serve(repository: Path | None, grpc_port: int, http_port: int, server_log: Path | None) -> None:
    """Keep the embedded Triton server in the foreground until interrupted."""
    from client.embedded.server import EmbeddedServer

    with EmbeddedServer(
        repository or builtin_repository(), log=server_log, grpc_port=grpc_port, http_port=http_port
    ) as server:
        click.echo(
            f"tritonserver {server.version}: gRPC {server.grpc_url}, HTTP {server.http_url}, log {server.log}", err=True
        )
        server.wait()


@cli.command()
@option("--server", "servers", help="HOST:PORT[,HOST:PORT…] of servers to look at.")
@security_options
@json_option
def doctor(servers: str | None, as_json: bool, **flags: Any) -> None:
    """Say in plain words what is there and what is missing."""
    from selector.doctor import examine

    findings = examine(_servers(servers), _security(flags))
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok ' if finding.ok else '-- '} {finding.what}: {finding.detail}")
    if any(not finding.ok and finding.needed for finding in findings):
        raise SystemExit(1)


@cli.command()
@option("--server", "servers", help="HOST:PORT[,HOST:PORT…] of running Triton servers; default: the embedded one.")
@option(
    "--repository", type=_EXISTING, help="Triton repository of the embedded server and of --bare; default: built-in."
)
@bench_options
@json_option
def bench(servers: str | None, repository: Path | None, as_json: bool, **flags: Any) -> None:
    """Measure latency and throughput of a model or of the scoring path, against the engine alone with --bare."""
    from selector.bench import run_bench

    run_bench(_servers(servers), repository or builtin_repository(), as_json, flags)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def export(arguments: tuple[str, ...]) -> None:
    """Turn a diffusers pipeline into a Triton repository (needs the extra `export`)."""
    try:
        from export_scripts.command import main as export_main
    except ModuleNotFoundError as error:
        raise SelectorError(
            f"export needs {error.name!r}: install the extra with pip install 'diffusion-selector[export]'"
        ) from None
    export_main(list(arguments))


def _servers(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _security(flags: dict[str, Any]) -> Security:
    """A secret comes from a file or from this one variable, never from an argument, which any process list shows."""
    headers = headers_from(flags["header_file"], os.environ.get("SELECTOR_HEADER"))
    return Security(flags["tls_ca"], flags["tls_cert"], flags["tls_key"], headers)


def _score_config(flags: dict[str, Any], data: Path | None, store: Path) -> ScoreConfig:
    names = set(ScoreConfig.__dataclass_fields__) & set(flags)
    values = {name: flags[name] for name in names}
    values["servers"] = _servers(flags["servers"])
    values["security"] = _security(flags)
    values["repository"] = flags["repository"] or builtin_repository()
    return ScoreConfig(data=data or builtin_scenes(), store=store, **values)


def _selection_config(flags: dict[str, Any], ipc: int, out: Path) -> SelectConfig:
    return SelectConfig(ipc=ipc, out=out, order=flags["order"], on_short=flags["on_short"], seed=flags["seed"])


def _finish(result: dict[str, Any], as_json: bool, line: str) -> None:
    click.echo(json.dumps(result, indent=2) if as_json else line)


def _check_failures(config: ScoreConfig, counts: dict[str, int]) -> None:
    allowed = config.failed_allowed(counts["seen"])
    if counts["failed"] > allowed:
        click.echo(
            f"selector: {counts['failed']} of {counts['seen']} files failed, --max-failed {config.max_failed} allows "
            f"{allowed}; the manifest and the report name each with its reason",
            err=True,
        )
        raise SystemExit(3)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; domain errors become one line on stderr and their exit code."""
    keep_freed_pages()
    try:
        cli.main(arguments, prog_name="selector", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("selector: interrupted; what was committed stays, the same command goes on from there", err=True)
        code = 130
    except ContractError as error:
        click.echo(f"selector: {error}", err=True)
        code = 4
    except (SelectorError, ClientError) as error:
        click.echo(f"selector: {error}", err=True)
        code = getattr(error, "exit_code", 1)
    else:
        return
    sys.exit(code)


def console() -> None:
    """The console script: runs the command and ends the process without the destructors of native libraries.

    Under heavy load one of their threads was seen to outlive the interpreter and abort the process at exit, after all work
    was done ("terminate called without an active exception", exit code -6). Python's own exit functions are run.
    """
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    if isinstance(code, str):
        click.echo(code, err=True)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    console()
