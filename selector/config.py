"""What a command was asked for, validated once; nothing deeper reads flags or the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from client.embedded.devices import ON_CORES, Device
from client.metrics import metrics_place
from client.ranges import COUNT, PROCESSES, SEED, Range, above, flag, real, refuse_outside, whole
from client.wire import Security, Trace
from selector.errors import UsageError
from selector.images.labels import Labels
from selector.images.locations import Data

SCORE_RANGES = {
    "prior_weight": real(0, 1000),
    "draws": whole(1, 65536),
    "patch_fraction": above(0, 1),
    "patches_per_image": whole(1, 1024),
    "min_side": whole(0, 65536),
    "limit_per_class": whole(0, 1_000_000_000),
    "workers": PROCESSES,
    "shard_size": COUNT,
    "assign_draws": whole(1, 65536),
    "assign_most": whole(1, 65536),
    "min_margin": real(0, 1000),
    "ray_workers": whole(0, 65536),
}
EVALUATE_RANGES = {
    "teacher_steps": COUNT,
    "ipc": COUNT,
    "pools": whole(1, 10_000),
    "pool_size": COUNT,
    "threads": whole(1, 1024),
    "seed": SEED,
}
ORDERS = ("herding", "facility-location", "clusters", "typicality", "random", "k-center", "k-means")
"""The names of `strategies.STRATEGIES`, known here without what computes them."""
SHORT = ("error", "all", "repeat", "patches")
"""What may become of a class with fewer patches than IPC."""
ACROSS_CLASSES = ("first", "drop", "error")
"""What becomes of the same bytes under several classes: the first path's class has them, none has, or it is an error."""
SELECT_RANGES = {"ipc": COUNT, "seed": SEED, "workers": PROCESSES}
EXPORTS = ("imagefolder", "webdataset", "parquet", "list", "coco", "croissant")
"""The formats that a selection is written in: the names of `formats.EXPORTERS`, known here without what writes them."""
IMAGE_FORMATS = ("png", "jpeg", "webp")
CLASS_FOLDERS = ("name", "source", "index")
"""What a class's folder of pictures is called: as the class, as its folder in the data, or by its number."""
TAKE = ("patch", "image")
"""What is handed out: the chosen windows, or the whole images that they lie in."""
EXPORT_RANGES = {"size": whole(0, 16383)}


@dataclass(frozen=True)
class ScoreConfig:
    """How a data set is scored.

    data: where the images lie. labels: how labels are found where no class folder says them. store: where scores go. servers:
    HOST:PORT of running servers; none starts the embedded server on `repository`, with its models on `device`. said: the
    repository that the servers are said to serve, None if nobody said it. rule, prior_weight, patch_fraction, centring: None
    takes the repository's own. patch_fraction: several are windows of several sizes. centring: "contrast" moves chosen windows
    onto what stands out in them, "none" leaves them. draws: draws per image, each costs two UNet evaluations; None takes as
    many as the repository was calibrated to, or 12. fit: "crop" or "pad". patches_per_image: windows per image, without
    overlap. min_side: images with a shorter side (pixels) are filtered. limit_per_class: only the first so many files of a
    class, 0 for all. workers: processes that decode. shard_size: images per commit. exclude: patterns of what is left out of
    the data. retry_failed: whether files that failed or were filtered, and scored ones that hold something else now, are looked
    at again. relist: whether the data are listed anew although the store keeps a listing of them. wait: whether to wait for
    another process that uses the same folder. security: certificates and headers for `servers`. part: of the work, its index
    from 0 and the number of parts. steal: whether shards of other parts that nobody works on come after those of this one. ray:
    address of a Ray cluster that does the work, "auto" for the one that is there, "local" for one of its own; ray_workers:
    processes on it, 0 for one a node. metrics_address, trace: as in ClientConfig.
    unlabelled: folders say nothing, the model chooses each image's class; only then: assign_draws: draws of all classes,
    assign_most: of the nearest, None takes what was measured to do. min_margin: images whose second class is nearer (in loss) are
    filtered.
    """

    data: Data
    store: Path
    repository: Path
    servers: tuple[str, ...] = ()
    said: Path | None = None
    rule: str | None = None
    prior_weight: float | None = None
    draws: int | None = None
    fit: str = "crop"
    patch_fraction: tuple[float, ...] | None = None
    centring: str | None = None
    patches_per_image: int = 1
    min_side: int = 8
    limit_per_class: int = 0
    class_names: Path | None = None
    exclude: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)
    workers: int = 0
    shard_size: int = 256
    max_failed: str = "1%"
    server_log: Path | None = None
    device: Device = ON_CORES
    retry_failed: bool = False
    relist: bool = False
    wait: bool = True
    security: Security = field(default_factory=Security)
    metrics_address: str = ""
    trace: str = ""
    unlabelled: bool = False
    part: tuple[int, int] = (0, 1)
    steal: bool = True
    ray: str | None = None
    ray_workers: int = 0
    assign_draws: int | None = None
    assign_most: int | None = None
    min_margin: float = 0.0

    def __post_init__(self) -> None:
        refuse_numbers(SCORE_RANGES, self)
        self._refuse_what_does_not_go_together()
        if self.servers and self.device != ON_CORES:
            raise UsageError(
                f"--device {self.device} is for the embedded server, and servers of --server have theirs: leave it out"
            )
        if self.fit not in ("crop", "pad"):
            raise UsageError(f"--fit must be crop or pad, not {self.fit!r}")
        if self.centring not in (None, "none", "contrast"):
            raise UsageError(f"--centring must be none or contrast, not {self.centring!r}")
        try:
            if self.metrics_address:
                metrics_place(self.metrics_address)
        except ValueError as error:
            raise UsageError(f"--metrics-address {error}") from None
        if self.trace:
            try:
                Trace(self.trace)
            except ValueError as error:
                raise UsageError(f"--{error}") from None
        self.failed_allowed(1)

    def _refuse_what_does_not_go_together(self) -> None:
        of_folders, of_models = ("class_names", "limit_per_class"), ("assign_draws", "assign_most", "min_margin")
        for name in of_folders if self.unlabelled else of_models:
            if getattr(self, name):
                why = (
                    "is about folders that are classes, and with --unlabelled none is one: leave it out"
                    if self.unlabelled
                    else "is about classes that the model chooses: add --unlabelled, or leave it out"
                )
                raise UsageError(f"{flag(name)} {why}")

    def failed_allowed(self, seen: int) -> int:
        """How many of `seen` files may fail; raises UsageError if --max-failed is neither a count nor a percentage."""
        share = self.max_failed.endswith("%")
        numbers = real(0, 100) if share else whole(0, 1_000_000_000)
        try:
            found = numbers.read(self.max_failed.removesuffix("%"))
        except ValueError:
            raise UsageError(
                "--max-failed must be a count from 0, or a percentage from 0% to 100%, such as 10 or 1%, "
                f"not {self.max_failed!r}"
            ) from None
        return int(found / 100 * seen) if share else int(found)

    @property
    def known_repository(self) -> Path | None:
        """What will be served, as far as it is known before a server is asked."""
        return self.said if self.servers else self.repository

    @property
    def decoders(self) -> int:
        """Number of processes that decode."""
        return self.workers or max(1, (os.cpu_count() or 1) - 1)


@dataclass(frozen=True)
class ExportConfig:
    """How the picks are handed out.

    formats: some of EXPORTS. size: side in pixels of the square that pictures are fitted to, 0 leaves them as they are.
    take, image_format, class_folders: one of TAKE, IMAGE_FORMATS, CLASS_FOLDERS. metadata: what `read_metadata` gives.
    """

    formats: tuple[str, ...] = ("imagefolder",)
    take: str = "patch"
    size: int = 0
    image_format: str = "png"
    class_folders: str = "name"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_numbers(EXPORT_RANGES, self)
        if not self.formats:
            raise UsageError(f"--export names no format: known are {', '.join(EXPORTS)}")
        for name in self.formats:
            refuse_unknown("--export", name, EXPORTS)
        refuse_unknown("--take", self.take, TAKE)
        refuse_unknown("--image-format", self.image_format, IMAGE_FORMATS)
        refuse_unknown("--class-folders", self.class_folders, CLASS_FOLDERS)


@dataclass(frozen=True)
class SelectConfig:
    """How a selection is made from a store.

    order: one of ORDERS. across_classes: what becomes of the same bytes under several classes, see
    ACROSS_CLASSES. exclude: as in ScoreConfig. labels: as there, None for those that the store was scored with.
    workers: processes that order classes, 0 for two more than cores. ray: address of a Ray cluster that orders them instead.
    relist: as in ScoreConfig. wait: whether to wait for another process that uses the same folder. export: how the picks are
    handed out.
    """

    ipc: int
    out: Path
    order: str = "herding"
    on_short: str = "error"
    seed: int = 0
    across_classes: str = "first"
    exclude: tuple[str, ...] = ()
    labels: Labels | None = None
    workers: int = 0
    ray: str | None = None
    relist: bool = False
    wait: bool = True
    export: ExportConfig = field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        refuse_numbers(SELECT_RANGES, self)
        refuse_unknown("--order", self.order, ORDERS)
        refuse_unknown("--on-short", self.on_short, SHORT)
        refuse_unknown("--across-classes", self.across_classes, ACROSS_CLASSES)


def refuse_unknown(flag: str, value: str, known: Sequence[str]) -> None:
    """Raises UsageError unless the value is one of those that are known."""
    if value not in known:
        raise UsageError(f"{flag} must be one of {', '.join(known)}, not {value!r}")


def refuse_numbers(ranges: Mapping[str, Range], config: object) -> None:
    """Raises UsageError that names the flag of the first number that is out of its range."""
    try:
        refuse_outside(ranges, config, flag)
    except ValueError as error:
        raise UsageError(str(error)) from None


def plain(config: SelectConfig) -> dict[str, Any]:
    """The configuration as JSON values, to be written beside the output.

    The store states `labels`; nothing depends on `wait`, `relist` and `ray`.
    """
    left_out = ("labels", "wait", "relist", "ray")
    values = {name: value for name, value in asdict(config).items() if name not in left_out}
    export = values["export"] | {"formats": list(config.export.formats)}
    return values | {"out": str(config.out), "exclude": list(config.exclude), "export": export}
