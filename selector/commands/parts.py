"""Where several processes share the scoring: the processes of a Ray cluster, and which part this one does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from selector.commands.options import Command, number, option, together
from selector.config import SCORE_RANGES, ScoreConfig
from selector.errors import UsageError


def ray_option(what: str) -> Callable[[Command], Command]:
    """Which cluster does something."""
    return option(
        "--ray",
        is_flag=False,
        flag_value="auto",
        metavar="[ADDRESS]",
        help=f"{what} on a Ray cluster: the one at the address, or the one that is there; `local` makes one here (extra `ray`).",
    )


ray_options = together(
    ray_option("Score"),
    number(
        "--ray-workers",
        ranges=SCORE_RANGES,
        default=ScoreConfig.ray_workers,
        help="Processes on the cluster; 0: one a node.",
    ),
)

part_options = together(
    option(
        "--part",
        help="Score part I of N, as 2/8; default: the task of a Slurm array, or RANK of WORLD_SIZE, else the whole.",
    ),
    option(
        "--steal/--no-steal",
        default=ScoreConfig.steal,
        help="After its own shards, take those of other parts that nobody works on.",
    ),
)


def part_of(named: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Index from 0, and number of parts: of the part named I/N, I from 1; else of the job that this process is of, a Slurm array
    or RANK of WORLD_SIZE; else the whole. Raises UsageError."""
    if named is not None:
        match = re.fullmatch(r"(\d+)/(\d+)", named)
        if match is None:
            raise UsageError(f"--part must be I/N, such as 2/8, not {named!r}")
        return _checked(int(match[1]) - 1, int(match[2]), "--part")
    if "SLURM_ARRAY_TASK_ID" in environment:
        task, first, step, count = (
            _number(environment, f"SLURM_ARRAY_TASK_{name}", default)
            for name, default in (("ID", None), ("MIN", 0), ("STEP", 1), ("COUNT", None))
        )
        if (task - first) % step or (task - first) // step >= count:
            raise UsageError(
                f"SLURM_ARRAY_TASK_ID is {task} of {count} tasks from {first} in steps of {step}: an array with gaps says no "
                "part, name it (--part I/N)"
            )
        return _checked((task - first) // step, count, "SLURM_ARRAY_TASK_ID")
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _checked(_number(environment, "RANK"), _number(environment, "WORLD_SIZE"), "RANK")
    return 0, 1


def _checked(index: int, count: int, said_by: str) -> tuple[int, int]:
    if not 0 <= index < count:
        raise UsageError(f"{said_by}: there is no part {index + 1} of {count}: parts count from 1 to N")
    return index, count


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    try:
        return int(environment.get(name, "" if default is None else str(default)))
    except ValueError:
        raise UsageError(f"{name} is {environment.get(name)!r}, no number: name the part (--part I/N)") from None
