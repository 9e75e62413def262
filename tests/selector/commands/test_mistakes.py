"""Mistakes on the command line: one line that names the thing and what to do, before anything is started."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from client.embedded.server import EmbeddedServer
from export_scripts.command import main as export_main
from export_scripts.train_small import main as train_main
from selector.cli import cli, main
from selector.commands.config_file import read_defaults
from selector.commands.parameters import Levels, Number, Numbers

COMMANDS = {**cli.commands, "export": export_main}
Say = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """Runs a command that must end at once: its one line on stderr, the code checked. No server is started meanwhile."""
    for name in ("SELECTOR_SERVER", "SELECTOR_IPC", "SELECTOR_HEADER"):
        monkeypatch.delenv(name, raising=False)
    started: list[object] = []
    monkeypatch.setattr(EmbeddedServer, "start", lambda server: started.append(server))

    def run(*arguments: object, code: int = 2) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        assert printed.err.count("\n") == 1, printed.err
        assert "Traceback" not in printed.err
        assert not printed.out
        return printed.err.rstrip()

    yield run
    assert not started


def numeric() -> list[tuple[str, click.Option, Number]]:
    found = []
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and isinstance(parameter.type, Number):
                found.append((name, parameter, parameter.type))
    return found


def test_every_number_of_every_command_has_a_range() -> None:
    for name, command in {**COMMANDS, "train_small": train_main}.items():
        for parameter in command.params:
            bare = parameter.type in (click.INT, click.FLOAT)
            assert not bare, f"{name} {parameter.name}"
    assert len(numeric()) > 40


@pytest.mark.parametrize(
    ("command", "option", "kind"), numeric(), ids=[f"{name} {option.opts[0]}" for name, option, _ in numeric()]
)
def test_a_number_that_can_not_be_is_refused_by_its_flag(
    command: str, option: click.Option, kind: Number, refused: Say
) -> None:
    flag, numbers = max(option.opts, key=len), kind.numbers
    for wrong in ("nan", "-inf", "1e999", "x", str(numbers.least - 1), f"{numbers.most * 2:.0f}", "0x1", ""):
        if not (wrong == "" and isinstance(kind, Numbers) and kind._none):
            said = refused(command, f"{flag}={wrong}")
            assert said.startswith(f"selector {command}: {flag}: must be {numbers}, not "), said
    if isinstance(kind, Numbers | Levels):
        good = f"{numbers.most:.0f}"
        assert flag in refused(command, f"{flag}={good},nan")
        assert flag in refused(command, f"{flag}={good},,{good}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run", "selector run: --ipc is missing: Images per class"),
        ("run --ipc 3 --bogus", "selector run: no such option '--bogus'"),
        ("run --ipc 3 --drws 2", "--draws"),
        ("rum", "no such command 'rum'"),
        ("run nowhere --ipc 3", "selector run: DATA: path 'nowhere' does not exist"),
        ("run --ipc 3 --fit x", "selector run: --fit: 'x' is not one of"),
        ("run --ipc 3 --out=", "--out: must be a path, not ''"),
        ("run --ipc", "'--ipc' requires an argument"),
        ("run --ipc 3 --max-failed nan%", "--max-failed must be a count from 0, or a percentage from 0% to 100%"),
        ("run --ipc 3 --max-failed -1", "--max-failed must be"),
        ("run --ipc 3 --max-failed 200%", "--max-failed must be"),
        ("run --ipc 3 --max-failed 1e9", "--max-failed must be"),
        ("run --ipc 3 --draws 65", "--draws 65 is more than the repository's bank of 64"),
        ("run --ipc 3 --rule best", "best"),
        ("run --ipc 3 --order best", "--order: 'best' is not one of 'herding'"),
        ("run --ipc 3 --export list,zip", "--export: 'zip' is not one of imagefolder, webdataset, parquet, list"),
        ("run --ipc 3 --export=", "--export: '' is not one of imagefolder"),
        ("run --ipc 3 --take half", "--take: 'half' is not one of 'patch', 'image'"),
        ("run --ipc 3 --image-format gif", "--image-format: 'gif' is not one of"),
        ("run --ipc 3 --class-folders id", "--class-folders: 'id' is not one of"),
        ("run --ipc 3 --metadata {file}", "must be a file of JSON or TOML"),
        ("select --store . --ipc 3 --out x --metadata nowhere", "--metadata: file 'nowhere' does not exist"),
        ("convert . --export zip", "--export: 'zip' is not one of imagefolder"),
        ("convert .", "selector convert: --export is missing: Formats of the picks"),
        ("convert nowhere --export list", "FOLDER: directory 'nowhere' does not exist"),
        ("label .", "selector label: --teacher is missing: Teacher: a file"),
        (
            "label . --teacher x --crop-area 1,0.5",
            "--crop-area takes the least and the greatest share, as 0.4,1, not 1,0.5",
        ),
        ("label . --teacher x --mean 0.5", "--mean takes a number for red, green and blue each, not 0.5"),
        ("label . --teacher x --label-classes mine", "--label-classes: 'mine' is not one of 'data', 'teacher'"),
        ("select --store . --ipc 3 --out x --order best", "--order: 'best' is not one of"),
        ("merge --into x", "selector merge: STORE... is missing"),
        ("merge .", "selector merge: --into is missing"),
        ("merge nowhere --into x", "directory 'nowhere' does not exist"),
        ("serve --grpc-port 7001 --http-port 7001", "--grpc-port and --http-port are both 7001"),
        (
            "serve --metrics-port 8001",
            "--grpc-port and --metrics-port are both 8001: give two ports, or 0 for free ones",
        ),
        ("bench --percentile 98", "percentile must be one of 50, 90, 95, 99"),
        ("bench --concurrency 1:65000", "at most 1000"),
        ("bench --rate 3:1", "FIRST:LAST:STEP, upwards"),
        ("export --draws 3", "power of two"),
        ("export --t-min 0.5 --t-max 0.5", "t_min must be less than t_max"),
        ("export --compute-capability 8.0,x", "--compute-capability: 'x' is no compute capability"),
        ("export --dift-block -1", "neither 'mid' nor the index"),
        ("evaluate --store . --test . --out x --recipe steps=nan", "--recipe steps=nan"),
        ("evaluate --store . --test . --out x --recipe rate=inf", "--recipe rate must be"),
        ("evaluate --store . --test . --out x --ipc 10 --pool-size 5", "--pool-size 5 is less than"),
        ("run --ipc 3 --tls-cert {file}", "--tls-key"),
        ("run --ipc 3 --server 127.0.0.1:1 --tls-ca {file}", "is no PEM file"),
        ("run --ipc 3 --header-file {file}", "expected NAME: VALUE"),
        ("run --ipc 3 --header-file {latin}", "is no text in UTF-8"),
        ("run --ipc 3 --class-names {file}", "expected `folder<TAB>class name`"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: str, says: str, refused: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no header, no class")
    (tmp_path / "latin").write_bytes(b"name: \xe9\n")
    monkeypatch.chdir(tmp_path)
    assert says in refused(*arguments.format(file=tmp_path / "file", latin=tmp_path / "latin").split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "latin"]


PLACES = {
    "a file": "file",
    "below a file": "file/x/y",
    "the null device": "/dev/null",
    "below the null device": "/dev/null/x",
    "a folder that can't be written": "/proc/nowhere",
    "a long name": "x" * 300,
    "a link to nothing": "dangling",
    "links in a circle": "circle/x",
}
WRITERS = {
    "run": ("run", "--ipc", 3, "--out"),
    "score": ("score", "--store"),
    "select": ("select", "--store", ".", "--ipc", 3, "--out"),
    "merge": ("merge", ".", "--into"),
    "evaluate": ("evaluate", "--store", ".", "--test", ".", "--out"),
    "export": ("export", "pipeline", "--out"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", WRITERS)
def test_a_folder_that_can_not_be_written_is_refused_before_anything_starts(
    command: str, place: str, refused: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _places(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = refused(*WRITERS[command], PLACES[place])
    assert f"{WRITERS[command][-1]}: " in said
    assert PLACES[place].split("/")[0] in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "flag", ["bench --csv", "bench --plot", "bench --requests", "serve --server-log", "run --ipc=3 --server-log"]
)
def test_a_file_that_can_not_be_written_is_refused_before_anything_starts(
    flag: str, place: str, refused: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _places(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = {"a file": "/", "the null device": "folder"}.get(place, PLACES[place])  # those can be written; folders can't
    assert f"{flag.split()[-1]}: " in refused(*flag.split(), text)
    assert sorted(tmp_path.iterdir()) == before


def _places(folder: Path) -> list[Path]:
    (folder / "file").write_text("kept")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nothing")
    (folder / "circle").symlink_to("circle")
    return sorted(folder.iterdir())


def test_the_default_output_in_a_current_folder_that_can_not_be_written(
    refused: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/proc")
    assert "--out: runs can't be written" in refused("run", "--ipc", 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run --ipc 3 --repository file", "--repository: directory 'file' is a file"),
        ("serve file", "REPOSITORY: directory 'file' is a file"),
        ("select --store file --ipc 3 --out x", "--store: directory 'file' is a file"),
        ("run --ipc 3 --class-names .", "--class-names: file '.' is a directory"),
        ("run --ipc 3 --header-file .", "--header-file: file '.' is a directory"),
        ("run --ipc 3 --tls-ca .", "--tls-ca . can't be read: Is a directory"),
        ("export --classes . pipeline --out x", "--classes: file '.' is a directory"),
        ("--config . run", "--config: file '.' is a directory"),
        ("run circle --ipc 3", "DATA: path 'circle' does not exist"),
        ("run dangling --ipc 3", "DATA: path 'dangling' does not exist"),
    ],
)
def test_a_file_in_place_of_a_folder_and_the_other_way_round(
    arguments: str, says: str, refused: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _places(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert says in refused(*arguments.split())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"draws = ", "is not valid TOML"),
        (b"drws = 2", "no command has the option 'drws'"),
        (b"[run]\ndrws = 2", "[run] has no option 'drws'"),
        (b"[rum]\ndraws = 2", "no command for the table [rum]"),
        (b"[run.draws]\nx = 2", "[run] draws must be a value, not a table"),
        (b"draws = true", "--draws (from the file of --config): must be a whole number from 1 to 65536, not True"),
        (b"draws = 2.5", "must be a whole number from 1 to 65536, not 2.5"),
        (b"draws = [1, 2]", "not '1,2'"),
        (b"prior-weight = nan", "--prior-weight (from the file of --config): must be a number"),
        (b"[run]\nserver = ['a']", "--server (from the file of --config): 'a': the port is missing"),
        (b"out = 5", "must be a path, not 5"),
        (b'out = "a\\u0000"', "must be a path"),
        (b"fit = 5", "--fit (from the file of --config)"),
        (b'export = ["list", "zip"]', "--export (from the file of --config): 'zip' is not one of imagefolder"),
        (b"[run]\nsize = -1", "--size (from the file of --config): must be a whole number from 0 to 16383, not -1"),
    ],
)
def test_a_file_of_settings_is_checked_like_flags(content: bytes, says: str, refused: Say, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(content)
    assert says in refused("--config", tmp_path / "settings.toml", "run", "--ipc", 3)


def test_the_table_of_the_export_is_checked_and_used(refused: Say, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[export]\ndrws = 2\n")
    assert "[export] has no option 'drws'" in refused("--config", settings, "run", "--ipc", 3)
    settings.write_text("[export]\nmax-batch = 0\n")
    assert "--max-batch (from the file of --config): must be" in refused("--config", settings, "export")


def test_a_list_in_a_file_of_settings_is_what_commas_are_on_the_command_line(refused: Say, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[run]\nserver = ['a:1', 'a:1']\n")
    assert "'a:1' is named twice" in refused("--config", tmp_path / "settings.toml", "run", "--ipc", 3)


def test_a_list_is_several_values_for_an_option_that_may_be_given_several_times(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[score]\nexclude = ['a,b', 'c']\n[select]\nexclude = 'd'\n")
    defaults = read_defaults(settings, cli.commands)
    assert defaults["score"]["exclude"] == ["a,b", "c"]
    assert defaults["select"]["exclude"] == ["d"]


def test_a_wrong_variable_is_named(refused: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELECTOR_DRAWS", "many")
    assert refused("run", "--ipc", 3).startswith("selector run: SELECTOR_DRAWS (--draws): must be a whole number")


@pytest.mark.parametrize(
    "arguments", ["run --ipc nan", "run --ipc 3 --server localhost", "score --store /dev/null/x", "bench --window nan"]
)
def test_the_process_itself_ends_with_one_line_and_loads_nothing_heavy(arguments: str) -> None:
    code = (
        "import sys\nfrom selector.cli import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    assert not {'numpy', 'grpc', 'torch'} & set(sys.modules)"
    )
    started = time.monotonic()
    command = [sys.executable, "-c", code, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - started < 60


def test_help_and_a_bare_command_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    assert "--ipc" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([])
    assert "Commands:" in "".join(capsys.readouterr())
