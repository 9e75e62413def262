"""Options that several commands share, and how an option is declared: flag, environment and help at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from client.ranges import Range
from selector.builtin import CLASS_LISTS
from selector.commands.parameters import CLASSES, FILE, FOLDER, FRACTIONS, PATH, Devices, Number, NumberOrAuto, Servers
from selector.config import ACROSS_CLASSES, ORDERS, SCORE_RANGES, SELECT_RANGES, SHORT, ScoreConfig, SelectConfig

Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """A click option that is also read from SELECTOR_<NAME>, and whose default shows in the help."""
    name = next(n for n in names if n.startswith("--")).split("/")[0]
    settings.setdefault("envvar", "SELECTOR_" + name.strip("-").replace("-", "_").upper())
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(*names, **settings)


def number(*names: str, ranges: Mapping[str, Range], **settings: Any) -> Callable[[Command], Command]:
    """An option whose number lies in the range that stands under its name."""
    field = names[-1].strip("-").replace("-", "_")
    return option(*names, type=Number(ranges[field]), **settings)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


server_option = option(
    "--server",
    "servers",
    type=Servers(),
    help="HOST:PORT[,HOST:PORT…] of running servers, or dns:///NAME:PORT, or file:LIST; default: the embedded Triton.",
)

device_option = option(
    "--device",
    type=Devices(),
    default="cpu",
    metavar="cpu|cuda[:N]|tensorrt[:N]",
    help="Where the embedded server's models run: on the cores, or on every GPU (N: on that one) by CUDA or by TensorRT.",
)

security_options = together(
    option("--tls-ca", help="PEM file of the authority of the servers' certificates, or `system`; default: plaintext."),
    option("--tls-cert", type=FILE, help="PEM file of this client's own certificate, for mutual TLS."),
    option("--tls-key", type=FILE, help="PEM file of its key."),
    option(
        "--header-file",
        type=FILE,
        help="File of lines NAME: VALUE sent with every call; the variable SELECTOR_HEADER adds one.",
    ),
)

exclude_option = option(
    "--exclude",
    multiple=True,
    help="Leave out what has this name or path in the data, such as cache or 'bag/*.gif'; may be given several times.",
)

labels_options = together(
    option(
        "--label-key",
        help="Key of JSON, ending of a member, or column that holds the label; default: label, class or cls, the first there.",
    ),
    option(
        "--image-key",
        help="Ending of a member, or column, that holds the image; needed only where there are several.",
    ),
    option(
        "--list",
        "list_file",
        type=FILE,
        help="CSV, JSONL or Parquet file of images (path or file_name, below DATA) and labels: these are the data.",
    ),
)

relist_option = option(
    "--relist", is_flag=True, help="List the data anew; else only folders and archives that changed are listed again."
)

rule_option = option("--rule", help="Scoring rule; default: the repository's own.")
fit_option = option(
    "--fit", type=click.Choice(["crop", "pad"]), default="crop", help="How an image is fitted to the square."
)
min_side_option = number(
    "--min-side",
    ranges=SCORE_RANGES,
    default=ScoreConfig.min_side,
    help="Images with a shorter side (pixels) are filtered.",
)
class_names_option = option(
    "--class-names",
    type=CLASSES,
    metavar="FILE|LIST",
    help=f"File of lines FOLDER<TAB>CLASS NAME, or a built-in list: {', '.join(CLASS_LISTS)}.",
)

unlabelled_options = together(
    option(
        "--unlabelled",
        is_flag=True,
        help="DATA has no labels: folders say nothing, and each image gets the class of the least loss.",
    ),
    number(
        "--assign-draws",
        ranges=SCORE_RANGES,
        help="With --unlabelled: draws by which all classes are compared; default: 4.",
    ),
    number(
        "--assign-most",
        ranges=SCORE_RANGES,
        help="With --unlabelled: draws that the nearest classes get at most; default: 32.",
    ),
    number(
        "--min-margin",
        ranges=SCORE_RANGES,
        default=ScoreConfig.min_margin,
        help="With --unlabelled: filter images whose second class has a loss greater by less than this.",
    ),
)

scoring_options = together(
    server_option,
    security_options,
    option(
        "--repository",
        type=FOLDER,
        help="Triton repository of the embedded server, default: the built-in one; with --server: what that is said to serve.",
    ),
    option("--server-log", type=PATH, help="Where the embedded server logs; default: server.log in the store."),
    device_option,
    rule_option,
    number(
        "--prior-weight",
        ranges=SCORE_RANGES,
        help="Weight of the rule's label-free prior; default: the repository's own.",
    ),
    option(
        "--draws",
        type=NumberOrAuto(SCORE_RANGES["draws"]),
        default="auto",
        help="Draws per image, each costs two UNet evaluations; auto: as many as the repository was calibrated to, or 12.",
    ),
    fit_option,
    option(
        "--patch-fraction",
        type=FRACTIONS,
        help="Window size as a fraction of the image, or several sizes, as 0.31,0.44; default: the repository's own.",
    ),
    option(
        "--centring",
        type=click.Choice(["none", "contrast"]),
        help="Move windows by up to a seventh of their side onto what stands out in them; default: the repository's own.",
    ),
    number(
        "--patches-per-image",
        ranges=SCORE_RANGES,
        default=ScoreConfig.patches_per_image,
        help="Windows taken from an image, without overlap.",
    ),
    min_side_option,
    number(
        "--limit-per-class",
        ranges=SCORE_RANGES,
        default=ScoreConfig.limit_per_class,
        help="Only the first so many files of every class; 0: all.",
    ),
    class_names_option,
    labels_options,
    unlabelled_options,
    exclude_option,
    relist_option,
    number(
        "--workers",
        ranges=SCORE_RANGES,
        default=ScoreConfig.workers,
        help="Processes that decode; 0: one fewer than there are cores.",
    ),
    number("--shard-size", ranges=SCORE_RANGES, default=ScoreConfig.shard_size, help="Images per commit to the store."),
    option(
        "--retry-failed",
        is_flag=True,
        help="Look again at files that failed or were filtered, and at scored ones that changed.",
    ),
    option(
        "--max-failed",
        default=ScoreConfig.max_failed,
        help="Files failed, passed over or unread that are allowed before exit code 3: a count or a percentage.",
    ),
    option(
        "--metrics-address",
        default="",
        metavar="[HOST:]PORT",
        help="Where a Prometheus endpoint is while rows are scored; without HOST on loopback; 0: a free port, named on stderr.",
    ),
    option("--trace", metavar="new|TRACEPARENT", help="The W3C trace that every request joins; default: none."),
)

selection_options = together(
    option(
        "--order",
        type=click.Choice(ORDERS),
        metavar="NAME",
        default=SelectConfig.order,
        help=f"How a class's patches are put into one order: {', '.join(ORDERS)}.",
    ),
    option(
        "--on-short",
        type=click.Choice(SHORT),
        default="error",
        help="A class with fewer patches than IPC: refuse, take all, repeat, or find further patches of its images.",
    ),
    option(
        "--across-classes",
        type=click.Choice(ACROSS_CLASSES),
        default="first",
        help="The same bytes under several classes: keep the first path, drop them from all classes, or refuse.",
    ),
    number("--seed", ranges=SELECT_RANGES, default=SelectConfig.seed, help="Seed of orders that draw at random."),
)


wait_option = option(
    "--wait/--no-wait",
    default=True,
    help="Wait for another process that uses the same folder, or refuse at once.",
)
json_option = option("--json", "as_json", is_flag=True, help="One machine-readable object on stdout.")
