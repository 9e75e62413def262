"""Racing: few draws for every image, more for the images whose place in their class they decide (sequential halving).

Owns how a budget of rows becomes rounds, and who goes on into the next one. Pure: must not know windows, maps, servers or
files. After Karnin, Koren and Somekh (ICML 2013): a round of twice the draws is for half of the images. Who goes on is
decided within a class by typicality so far, which all candidates have from the same draws, so that they are compared on equal
terms. docs/decisions/008-racing.md says what else was tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor
from typing import Any

from selector.errors import UsageError
from selector.scoring.typicality import DRAWS_PER_GROUP


@dataclass(frozen=True)
class Race:
    """ends: draws that an image has after each round. shares: share of a class's images that each round scores, first 1."""

    ends: tuple[int, ...]
    shares: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values by field name."""
        return {"ends": list(self.ends), "shares": list(self.shares)}

    def span(self, round: int) -> range:
        """The draws of a round."""
        return range(self.ends[round - 1] if round else 0, self.ends[round])


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that has all draws so far. typicality: of its best window."""

    source: str
    image_id: str
    class_id: int
    typicality: float


@dataclass(frozen=True)
class Last:
    """The last image of a class that goes on; others go on if they are more typical, or as typical with a smaller id."""

    typicality: float
    image_id: str

    def admits(self, candidate: Candidate) -> bool:
        """Whether a candidate goes on."""
        return (-candidate.typicality, candidate.image_id) <= (-self.typicality, self.image_id)


def make_race(draws: int, rows_per_image: float | None) -> Race | None:
    """The rounds of at most `draws` draws whose mean over images is rows_per_image / 2; None if that is the full grid.

    The first round takes half of the budget, in whole groups of draws and at least one. Every later one doubles the draws, as
    far as there are any, and halves the images, as far as the budget does not allow for more. Raises UsageError for a budget
    that is no race.
    """
    if rows_per_image is None or rows_per_image == 2 * draws:
        return None
    mean = rows_per_image / 2
    if draws % 2 or not DRAWS_PER_GROUP < mean < draws:
        raise UsageError(
            f"--rows-per-image {rows_per_image:g} must lie above {2 * DRAWS_PER_GROUP} and below the {2 * draws} UNet rows "
            f"of --draws {draws}, which must be even: raise --draws, or ask for fewer draws without racing"
        )
    ends = [DRAWS_PER_GROUP * max(1, floor(mean / 2 / DRAWS_PER_GROUP))]
    while ends[-1] < draws:
        ends.append(min(2 * ends[-1], draws))
    costs = [end - start for start, end in pairwise(ends)]
    halving = [1 / start for start in ends[:-1]]
    shares, left = [1.0], mean - ends[0]
    for round, cost in enumerate(costs):
        scale = left / sum(c * h for c, h in zip(costs[round:], halving[round:], strict=True))
        shares.append(min(1.0, scale * halving[round]))
        left -= shares[-1] * cost
    return Race(tuple(ends), tuple(shares))


def going_on(candidates: Iterable[Candidate], class_sizes: Mapping[int, int], share: float) -> dict[int, Last]:
    """class_id → the last image that goes on; a class of which none does is left out.

    candidates: those of the round before. class_sizes: images of each class in the first round, of which `share` may go on.
    """
    by_class: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        by_class.setdefault(candidate.class_id, []).append(candidate)
    last = {}
    for class_id, group in sorted(by_class.items()):
        count = min(len(group), floor(share * class_sizes[class_id] + 1e-9))
        if count:
            end = sorted(group, key=lambda c: (-c.typicality, c.image_id))[count - 1]
            last[class_id] = Last(end.typicality, end.image_id)
    return last


def admitted(candidates: Sequence[Candidate], last: Mapping[int, Last]) -> list[Candidate]:
    """Those of the candidates that go on, in their order."""
    return [c for c in candidates if c.class_id in last and last[c.class_id].admits(c)]
