"""`selector export PIPELINE --compare-features DATA`: candidates for features on labelled images, as a table and two flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export_scripts.errors import PipelineError
from export_scripts.features.retrieval import Candidate, compare, encoded, interval
from export_scripts.pipelines.denoiser import Place
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from selector.errors import UsageError
from selector.images.canvas import fit
from selector.images.datasets import list_items
from selector.images.decoding import DecodeError, decode
from selector.images.listing import Listing
from selector.images.locations import Location
from selector.images.readers import Containers, ContentError
from selector.progress import Progress

IMAGES = 300
OF_A_LABEL = 4  # images at least, where there are so many
SHARES = (0.05, 0.15, 0.25, 0.35, 0.45)  # of the schedule: timesteps, if none are named
MOST_BLOCKS = 12


@dataclass(frozen=True)
class Comparing:
    """data: images in class folders, or another form of labelled data. blocks, timesteps: None for a choice of them."""

    data: Path | Location
    images: int = IMAGES
    blocks: tuple[Place, ...] | None = None
    timesteps: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    """candidates: the best first; one of them has the pipeline's own block and timestep. labels: [n]."""

    candidates: tuple[Candidate, ...]
    own: Candidate
    labels: NDArray[np.int64]

    @property
    def chance(self) -> float:
        """How many images would be found by features that say nothing."""
        counts = np.bincount(self.labels)
        return float((counts * (counts - 1)).sum() / (len(self.labels) * (len(self.labels) - 1)))

    @property
    def flags(self) -> str:
        """What to give to `selector export`."""
        best = self.candidates[0]
        return f"--dift-block {best.block} --dift-timestep {best.timestep}"

    def record(self) -> dict[str, Any]:
        """All of it for a machine."""
        return {
            "images": len(self.labels),
            "labels": len(np.unique(self.labels)),
            "chance": self.chance,
            "candidates": [
                {"block": c.block, "timestep": c.timestep, "found": c.accuracy, "interval": interval(c.found)}
                for c in self.candidates
            ],
            "own": {"block": self.own.block, "timestep": self.own.timestep},
            "use": self.flags,
        }

    def text(self) -> str:
        """A Markdown table, what its first row means, and the flags as the last line."""
        lines = [
            f"{len(self.labels)} images of {len(np.unique(self.labels))} labels, null prompt, float32. An image is found if the "
            f"most similar other one has its label (95 % intervals; by chance {self.chance:.3f}).",
            "",
            "| block | timestep | found |",
            "|---|---:|---|",
        ]
        for each in self.candidates:
            own = ", the pipeline's own" if each is self.own else ""
            lines.append(f"| {each.block} | {each.timestep} | {_with_interval(each.found)}{own} |")
        return "\n".join((*lines, "", self._verdict(), self.flags))

    def _verdict(self) -> str:
        best = self.candidates[0]
        if best is self.own:
            return "the pipeline's own features are the best of these"
        lead = best.found - self.own.found
        low, _ = interval(lead)
        doubt = ": too few images to tell them apart" if low <= 0 else ""
        return f"the best leads the pipeline's own by {_with_interval(lead)}{doubt}"


def compare_features(
    pipeline: Path, wanted: Wanted, asked: Comparing, progress: Progress, tell: Callable[[str], None]
) -> Comparison:
    """Reads the pipeline and a sample of the images, and compares. Raises PipelineError, and UsageError for the data."""
    listing = list_items(asked.data)
    for lost in listing.passed_over:
        tell(f"{lost.source} is not looked at: {lost.reason}")
    rows, labels = sample(listing, asked.images)
    source = load_source(pipeline, wanted)
    blocks, timesteps = places_of(source, asked.blocks), timesteps_of(source, asked.timesteps)
    if source.denoiser.taps.massive and source.denoiser.taps.again is None:
        tell(f"channels of massive activations are those of timestep {source.profile.dift_timestep} at every timestep")
    latents = encoded(source, _read(listing, rows, source.resolution))
    with progress.stage("features", len(rows) * len(blocks) * len(timesteps), "images") as advance:
        found = compare(source, latents, labels, blocks, timesteps, advance)
    profile = source.profile
    own = next(each for each in found if (each.block, each.timestep) == (profile.dift_block, profile.dift_timestep))
    return Comparison(tuple(found), own, labels)


def places_of(source: SourcePipeline, asked: tuple[Place, ...] | None) -> tuple[Place, ...]:
    """Those asked for, or of many some from all over the network; the pipeline's own among them. Raises PipelineError."""
    taps, own = source.denoiser.taps, source.profile.dift_block
    every = tuple(taps.widths)
    for place in asked or ():
        if place not in taps.widths:
            raise PipelineError(f"--feature-blocks has {place!r}; this {source.denoiser.kind} has {taps.told}")
    if asked is None and len(every) > MOST_BLOCKS:
        asked = tuple(every[round(k)] for k in np.linspace(0, len(every) - 1, MOST_BLOCKS))
    return tuple(place for place in every if asked is None or place in (*asked, own))


def timesteps_of(source: SourcePipeline, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    """Those asked for, or shares of the schedule, and the pipeline's own. Raises PipelineError."""
    steps = source.denoiser.schedule.steps
    for timestep in asked or ():
        if timestep >= steps:
            raise PipelineError(f"--feature-timesteps has {timestep}, outside the schedule of {steps} steps")
    return tuple(sorted({*(asked or (int(share * steps) for share in SHARES)), source.profile.dift_timestep}))


def sample(listing: Listing, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows of the listing, their labels), both int64 [n]: about as many of each label, of few labels where there are many.

    Raises UsageError for images that can't be told apart by labels.
    """
    rng, folder = np.random.default_rng(0), listing.folder
    kept = [label for label, count in enumerate(np.bincount(folder)) if count > 1] if len(folder) else []
    if len(kept) < 2:
        raise UsageError(
            f"{listing.root} has {len(kept)} labels of two images and more: features are compared by two and more"
        )
    each = max(OF_A_LABEL, most // len(kept))
    taken = sorted(rng.permutation(kept)[: max(2, most // each)])
    rows = np.concatenate([rng.permutation(np.flatnonzero(folder == label))[:each] for label in taken])
    return rows, folder[rows].astype(np.int64)


def _read(listing: Listing, rows: NDArray[np.int64], resolution: int) -> NDArray[np.uint8]:
    """uint8 [n, S, S, 3]: each image's centre square."""
    images = np.empty((len(rows), resolution, resolution, 3), np.uint8)
    with Containers() as containers:
        for image, place in zip(images, listing.places(rows), strict=True):
            try:
                image[:] = fit(decode(containers.read(place)), resolution)[0]
            except (DecodeError, ContentError) as error:
                raise UsageError(
                    f"{place.source} in {listing.root}: {error}: mend it, or take it out of the data"
                ) from error
    return images


def _with_interval(values: NDArray[np.float64]) -> str:
    low, high = interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"
