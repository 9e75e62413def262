"""--classes and --class-names take the name of a built-in list where they take a file."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from selector.builtin import CLASS_LISTS, builtin_class_list
from selector.cli import cli
from selector.commands.parameters import CLASSES


@click.command()
@click.option("--classes", type=CLASSES)
def told(classes: Path) -> None:
    click.echo(classes)


def asked(text: str) -> Result:
    return CliRunner().invoke(told, ["--classes", text])


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_a_name_becomes_the_list_that_comes_with_the_package(name: str) -> None:
    done = asked(name)
    assert (done.stdout.strip(), done.stderr) == (str(builtin_class_list(name)), "")
    assert builtin_class_list(name).is_file()


def test_a_file_of_that_name_is_told_apart_by_its_path_and_a_line_says_so() -> None:
    Path("imagenette").write_text("tench\n")
    bare, pathed = asked("imagenette"), asked("./imagenette")
    assert bare.stdout.strip() == str(builtin_class_list("imagenette"))
    assert bare.stderr == "selector: imagenette is the built-in list of classes; the file here is ./imagenette\n"
    assert (pathed.stdout.strip(), pathed.stderr) == ("imagenette", "")


def test_a_folder_of_that_name_is_data_and_needs_no_line() -> None:
    Path("imagenet-1k").mkdir()
    assert asked("imagenet-1k").stderr == ""


@pytest.mark.parametrize("text", ["ImageNet-1K", "imagenet1k", "classes.txt", "lists/imagenette"])
def test_what_is_neither_file_nor_list_is_refused_with_the_names_of_the_lists(text: str) -> None:
    refused = asked(text)
    assert refused.exit_code == 2
    assert f"'{text}' does not exist; the built-in lists are {', '.join(CLASS_LISTS)}" in refused.stderr


@pytest.mark.parametrize("command", ["run", "score", "calibrate", "export"])
def test_the_help_names_the_lists(command: str) -> None:
    page = CliRunner().invoke(cli, [command, "--help"], env={"COLUMNS": "200"}).output
    assert "FILE|LIST" in page
    assert ", ".join(CLASS_LISTS) in " ".join(page.split())
