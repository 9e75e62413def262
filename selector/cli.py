"""The `selector` command: flags in, one configuration object out, exit codes back.

The commands lie in selector/commands/, the process in selector/console/. What needs torch is imported inside its
command. Precedence: flag, environment (SELECTOR_…), TOML file (--config), default.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from client.allocation import keep_freed_pages
from client.errors import ClientError, ContractError
from selector import __version__
from selector.commands.benching import bench
from selector.commands.calibrating import calibrate
from selector.commands.config_file import read_defaults
from selector.commands.converting import convert
from selector.commands.evaluating import evaluate
from selector.commands.labelling import label
from selector.commands.merging import merge
from selector.commands.mistakes import message
from selector.commands.parameters import FILE
from selector.commands.selecting import report, run, score, select
from selector.commands.serving import doctor, serve
from selector.commands.status import status
from selector.console import endings
from selector.errors import SelectorError
from selector.folders.files import known, told


def _configuration_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Values of a TOML file become defaults; a table [run] holds those of one command."""
    if path is not None:
        from export_scripts.command import main as export_main

        try:
            context.default_map = read_defaults(path, {**cli.commands, "export": export_main})
        except ValueError as error:
            raise click.BadParameter(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="selector")
@click.option(
    "--config",
    type=FILE,
    callback=_configuration_file,
    is_eager=True,
    expose_value=False,
    help="TOML file of defaults.",
)
def cli() -> None:
    """Diffusion-driven dataset selection: the N most representative patches of every class, for any N."""


for _command in (run, score, status, merge, select, report, convert, label, calibrate, evaluate, serve, doctor, bench):
    cli.add_command(_command)


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def export(context: click.Context, /, arguments: tuple[str, ...]) -> None:
    """Turn a diffusers pipeline into a Triton repository (needs the extra `export`)."""
    try:
        from export_scripts.command import main as export_main
    except ModuleNotFoundError as error:
        raise SelectorError(
            f"export needs {error.name!r}: install the extra with pip install 'diffusion-selector[export]'"
        ) from None
    defaults = context.default_map
    export_main.main(list(arguments), prog_name="selector export", standalone_mode=False, default_map=defaults)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command; domain errors become one line on stderr and their exit code. Raises Ended after a signal."""
    keep_freed_pages()
    try:
        with endings.told():
            cli.main(arguments, prog_name="selector", standalone_mode=False)
    except click.ClickException as error:
        click.echo(message(error), err=True)
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
    except OSError as error:
        if not known(error):
            raise
        click.echo(f"selector: {told(error)}", err=True)
        code = 1
    else:
        return
    sys.exit(code)


if __name__ == "__main__":
    from selector.console import console

    console()
