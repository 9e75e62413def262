"""Train a small class-conditional diffusion pipeline on any folder (or tar) of class folders.

python -m export_scripts.train_small DATA --out PIPELINE
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click
import torch
from safetensors import SafetensorError

from client.ranges import SEED, above, real, whole
from export_scripts.small_pipeline import SCORING_FILE, ScoringProfile, SmallPipeline, SpaceToDepth
from export_scripts.training.architectures import Architecture
from export_scripts.training.dit import DitConfig
from export_scripts.training.draw_order import write_order
from export_scripts.training.images import read_image_set
from export_scripts.training.model import ModelConfig, NoiseConfig
from export_scripts.training.run import CHECKPOINT_FILE, TrainConfig, Trainer
from selector.commands.mistakes import run_alone
from selector.commands.parameters import EXISTING, PATH, Number, Numbers
from selector.errors import FileError
from selector.folders.files import check_folder, file_errors
from selector.folders.replacement import replaced
from selector.progress import Progress

log = logging.getLogger("train_small")
UNET, DIT = "unet", "dit"
OWN_FLAGS = {UNET: ("channels", "attention", "layers"), DIT: ("width", "heads", "blocks", "token_cells")}
PIPELINES = {SmallPipeline.__name__: UNET, "DiTPipeline": DIT}


def default_profile(config: TrainConfig) -> ScoringProfile:
    """Settings for a pipeline nobody has measured: the trained band, features from the middle of the network."""
    low, high = config.noise.band
    middle = config.model.blocks // 2 if isinstance(config.model, DitConfig) else "mid"
    return ScoringProfile(low, high, 250, middle, 28 / 64, "rotating")


def write_pipeline(trainer: Trainer, folder: Path) -> None:
    """The averaged pipeline as a diffusers folder; it appears at once, with what others put into an older one."""
    profile = ScoringProfile.load(folder) if (folder / SCORING_FILE).exists() else default_profile(trainer.config)
    with file_errors(folder), replaced(folder, own=lambda _: ()) as part:
        try:
            trainer.averaged_pipeline().save_pretrained(part)
        except SafetensorError as error:
            raise FileError(f"{folder} can't be written: {error}: make room, then the same command goes on") from error
        profile.save(part)


def refuse_foreign(folder: Path, architecture: str) -> None:
    """Raises ClickException if something lies there that no training wrote, or that one of another architecture did."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        index = json.loads((folder / "model_index.json").read_text())
        written = PIPELINES[index["_class_name"]] if SpaceToDepth.__name__ in index["vae"] else None
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    if written is None:
        raise click.ClickException(
            f"{folder} holds what no training wrote: name another place for the pipeline (--out)"
        )
    if written != architecture:
        raise click.ClickException(
            f"{folder} holds a pipeline of --architecture {written}: name another place for one of {architecture} (--out)"
        )


def model_of(
    architecture: str, image_size: int, patch_size: int, prediction: str, flags: dict[str, Any]
) -> Architecture:
    """flags: those of OWN_FLAGS, None where nobody gave one. Raises UsageError for one of another architecture."""
    given = {name: value for name, value in flags.items() if value is not None}
    for other in set(given) - set(OWN_FLAGS[architecture]):
        raise click.UsageError(f"--{other.replace('_', '-')} says nothing to --architecture {architecture}")
    if architecture == DIT:
        return DitConfig(image_size, patch_size, prediction_type=prediction, **given)
    names = {"channels": "block_channels", "attention": "attention_levels", "layers": "layers_per_block"}
    own = {names[name]: value for name, value in given.items()}
    return ModelConfig(image_size, patch_size, prediction_type=prediction, **own)


def train(trainer: Trainer, out: Path, checkpoint_every: int) -> None:
    """Run to the end; a checkpoint every `checkpoint_every` steps, and with it a pipeline and a word on the loss."""
    work = out.with_name(out.name + ".training")
    mean, last, progress = 0.0, trainer.config.steps, Progress(line_every_s=30)
    with progress.stage("training", last - trainer.step, "steps") as advance:
        for loss in trainer.steps():
            mean = loss if not mean else 0.99 * mean + 0.01 * loss
            advance(1)
            if trainer.step % checkpoint_every == 0 or trainer.step == last:
                progress.note(f"step {trainer.step}/{last}: loss {mean:.4f}")
                trainer.save(work)
                write_pipeline(trainer, out)


@click.command()
@click.argument("source", metavar="DATA", type=EXISTING)
@click.option("--out", type=PATH, required=True, help="Pipeline folder.")
@click.option("--classes", type=click.File(), help="Class names in order, one a line; default: sorted folders.")
@click.option("--steps", type=click.IntRange(min=1), default=TrainConfig.steps, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=TrainConfig.batch, show_default=True)
@click.option("--learning-rate", type=Number(above(0, 1000)), default=TrainConfig.learning_rate, show_default=True)
@click.option("--image-size", type=Number(whole(8, 4096)), default=64, show_default=True)
@click.option("--patch-size", type=Number(whole(1, 64)), default=ModelConfig.patch_size, show_default=True)
@click.option(
    "--architecture", type=click.Choice([UNET, DIT]), default=UNET, show_default=True, help="What is trained."
)
@click.option(
    "--channels",
    type=Numbers(whole(1, 65536)),
    help=f"Of a UNet's levels; default: {','.join(map(str, ModelConfig.block_channels))}.",
)
@click.option(
    "--attention",
    type=Numbers(whole(0, 16), none=True),
    help="A UNet's levels with attention besides the middle, e.g. 1,2.",
)
@click.option(
    "--layers", type=Number(whole(1, 16)), help=f"Of a UNet's levels; default: {ModelConfig.layers_per_block}."
)
@click.option("--width", type=Number(whole(4, 65536)), help=f"Of a DiT's tokens; default: {DitConfig.width}.")
@click.option("--heads", type=Number(whole(1, 1024)), help=f"Of a DiT's attention; default: {DitConfig.heads}.")
@click.option("--blocks", type=Number(whole(1, 1024)), help=f"Of a DiT; default: {DitConfig.blocks}.")
@click.option(
    "--token-cells",
    type=Number(whole(1, 64)),
    help=f"Latent cells on the side of a DiT's token; default: {DitConfig.token_cells}.",
)
@click.option("--prediction", type=click.Choice(["v_prediction", "epsilon"]), default=ModelConfig.prediction_type)
@click.option("--band", nargs=2, type=Number(real(0, 1)), default=NoiseConfig.band, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--bf16/--fp32", default=False, help="bfloat16 autocast (faster with AVX512-BF16, AMX or CUDA).")
@click.option("--threads", type=Number(whole(1, 1024)), help="CPU threads; default: torch's.")
@click.option("--seed", type=Number(SEED), default=0, show_default=True)
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=1000, show_default=True, help="Steps.")
@click.option("--resume/--fresh", default=True, help="Continue from a checkpoint beside OUT, or start again.")
def main(
    source: Path, out: Path, classes: click.utils.LazyFile | None, device: str, threads: int | None,
    resume: bool, checkpoint_every: int, architecture: str, image_size: int, patch_size: int, prediction: str,
    band: tuple[float, float], steps: int, batch: int, learning_rate: float, bf16: bool, seed: int, **flags: Any,
) -> None:  # fmt: skip
    """Train a small pipeline on DATA, a folder or tar of class folders, and write it in the diffusers format."""
    if band[0] >= band[1]:
        raise click.UsageError(f"--band must begin before it ends, not {band[0]:g} {band[1]:g}")
    check_folder(out, "--out")
    refuse_foreign(out, architecture)
    model = model_of(architecture, image_size, patch_size, prediction, flags)
    if threads:
        torch.set_num_threads(threads)
    order = [line.strip() for line in classes if line.strip()] if classes is not None else None
    images = read_image_set(source, image_size, order)
    config = TrainConfig(steps, batch, learning_rate, seed=seed, bf16=bf16, model=model, noise=NoiseConfig(band=band))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(config, images, torch.device(device))
    checkpoint = out.with_name(out.name + ".training") / CHECKPOINT_FILE
    if resume and checkpoint.exists():
        try:
            trainer.restore(checkpoint.parent)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    else:
        (out / SCORING_FILE).unlink(missing_ok=True)  # it was measured on other weights
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    log.info(
        "%d images, %d classes, %d parameters, %s", len(images.labels), len(images.class_names), parameters, device
    )
    before = trainer.step
    train(trainer, out, checkpoint_every)
    if trainer.step > before or ScoringProfile.load(out).draw_order is None:
        write_order(out, images)
    click.echo(f"{trainer.step} steps: {out}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run_alone(main, "train_small")
