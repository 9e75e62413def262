"""The command line: help, precedence, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from selector.cli import cli, main
from selector.commands.parameters import FRACTIONS
from selector.config import ScoreConfig
from selector.localisation.centring import CENTRINGS

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_and_stands_in_the_readme(name: str) -> None:
    assert cli.commands[name].help
    assert f"selector {name}" in README


def test_every_option_has_help() -> None:
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"


def test_flag_goes_before_environment_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("selector.scoring.score.score", lambda config, _: seen.append(config.draws) or _refuse())
    settings = tmp_path / "selector.toml"
    settings.write_text("draws = 3\n[run]\ndraws = 4\n")
    store = ["--store", str(tmp_path / "store")]
    runner = CliRunner()
    runner.invoke(cli, ["score", *store])
    runner.invoke(cli, ["--config", str(settings), "score", *store])
    runner.invoke(cli, ["--config", str(settings), "score", *store], env={"SELECTOR_DRAWS": "5"})
    runner.invoke(cli, ["--config", str(settings), "score", *store, "--draws", "6"], env={"SELECTOR_DRAWS": "5"})
    assert seen == [None, 3, 5, 6]


def _refuse() -> None:
    raise click.Abort


def test_a_domain_error_is_one_line_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--ipc", "0", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_waits_for_no_numpy() -> None:
    """The commands import what they need when they are called."""
    code = "import sys, selector.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_offers_the_centrings_that_there_are() -> None:
    for name in ("run", "score"):
        (centring,) = (option for option in cli.commands[name].params if option.name == "centring")
        assert isinstance(centring.type, click.Choice)
        assert tuple(centring.type.choices) == CENTRINGS
    assert [ScoreConfig(Path(), Path(), Path(), centring=name).centring for name in CENTRINGS] == list(CENTRINGS)


@pytest.mark.parametrize(("text", "fractions"), [("0.5", (0.5,)), ("0.3, 0.44,0.6", (0.3, 0.44, 0.6))])
def test_patch_fractions_are_one_number_or_several(text: str, fractions: tuple[float, ...]) -> None:
    assert FRACTIONS.convert(text, None, None) == fractions
