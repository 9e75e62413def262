"""The order of draws of a small pipeline, chosen on images of its classes: as `selector calibrate`, in eager torch.

    python -m export_scripts.training.draw_order PIPELINE DATA

train_small does it at its end; the command is for after noises.py. Optimised draws are in order already: then only the number of
draws that is enough is found.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from export_scripts.graphs.draw_bank import Band, make_draw_bank, spread_weights
from export_scripts.graphs.draw_maps import draw_maps, latents_of
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Settings
from export_scripts.small_pipeline import ScoringProfile
from export_scripts.training.images import ImageSet, batch_indices, read_image_set
from selector.calibration.order import contrasted, judged, weighted_windows
from selector.commands.mistakes import run_alone
from selector.commands.parameters import EXISTING, FOLDER
from selector.folders.files import file_errors
from selector.localisation.typicality import rule
from selector.localisation.windows import WindowGrid, window_grid
from selector.progress import Progress

log = logging.getLogger("draw_order")
IMAGES = 200
AGREEMENT = 0.9


def write_order(pipeline: Path, images: ImageSet) -> None:
    """Writes which draws are to be taken first, and how many are enough, into the pipeline's scoring profile."""
    try:
        profile = calibrated(pipeline, images, Progress(line_every_s=30))
    except ValueError as error:
        log.info("no order of draws was chosen: %s", error)
        return
    with file_errors(pipeline):
        profile.save(pipeline)
    log.info("%d draws agree by %g with all: they are enough", profile.auto_draws, AGREEMENT)


def calibrated(pipeline: Path, images: ImageSet, progress: Progress) -> ScoringProfile:
    """The pipeline's scoring profile with an order of the draws of the exporter's default bank."""
    source = load_source(pipeline)
    profile, draws = source.profile, Settings().draws
    band = Band(profile.t_min, profile.t_max, source.denoiser.schedule.steps)
    bank = make_draw_bank(draws, band, source.latent, first=source.first_draws)
    chosen = batch_indices(len(images.labels), min(IMAGES, len(images.labels)), 0, 0)
    labels, scored_by = images.labels[chosen], rule(profile.rule)
    # Optimised one after another, each for the reference of its place: then the order stands.
    given = None if source.first_draws is None else tuple(range(draws))
    references = contrasted(scored_by, labels.tolist(), len(source.classes), draws, turning=given is None)
    with progress.stage("draws", 2 * draws * len(chosen), "UNet rows") as advance:
        maps = draw_maps(source, bank, latents_of(source, images.pixels[chosen]), labels, references, advance)
    grid = windows_of(source)
    weights = scored_by.weights(np.asarray(spread_weights(bank, profile.timestep_weights), np.float32))
    windows = [weighted_windows(deltas, weights, grid) for deltas in maps]
    found = judged(windows, AGREEMENT, profile.rule, given)
    return replace(profile, draw_order=found.order, auto_draws=found.enough)


def windows_of(source: SourcePipeline) -> WindowGrid:
    """The windows of a whole image by the pipeline's own profile."""
    size = source.resolution
    return window_grid(size, max(1, round(source.profile.window_fraction * size)), max(1, size // 16))


@click.command()
@click.argument("pipeline", type=FOLDER)
@click.argument("data", type=EXISTING)
def main(pipeline: Path, data: Path) -> None:
    """Choose the order of PIPELINE's draws on 200 images of DATA, a folder or tar of class folders."""
    source = load_source(pipeline)
    write_order(pipeline, read_image_set(data, source.resolution, source.classes))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run_alone(main, "draw_order")
