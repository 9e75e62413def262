"""Which part of the work a process takes."""

from __future__ import annotations

import pytest

from selector.commands.parts import part_of
from selector.errors import UsageError

ARRAY = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("named", "environment", "part"),
    [
        (None, {}, (0, 1)),
        ("2/8", {"RANK": "0", "WORLD_SIZE": "2"}, (1, 8)),
        (None, {"RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
        (None, {"RANK": "1"}, (0, 1)),
        (None, ARRAY | {"SLURM_ARRAY_TASK_ID": "4"}, (3, 4)),
        (None, ARRAY | {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_STEP": "3"}, (2, 4)),
        (None, {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_COUNT": "1"}, (0, 1)),
    ],
)
def test_the_part_is_the_named_one_or_that_of_the_job(
    named: str | None, environment: dict[str, str], part: tuple[int, int]
) -> None:
    assert part_of(named, environment) == part


@pytest.mark.parametrize(
    ("named", "environment", "said"),
    [
        ("2", {}, "--part must be I/N, such as 2/8, not '2'"),
        ("9/8", {}, "--part: there is no part 9 of 8"),
        (None, ARRAY | {"SLURM_ARRAY_TASK_ID": "9"}, "an array with gaps says no part, name it"),
        (None, {"SLURM_ARRAY_TASK_ID": "2"}, "SLURM_ARRAY_TASK_COUNT is None, no number"),
        (None, {"RANK": "2", "WORLD_SIZE": "2"}, "RANK: there is no part 3 of 2"),
        (None, {"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x', no number"),
    ],
)
def test_a_part_that_is_none_is_refused(named: str | None, environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        part_of(named, environment)
