"""Stable Diffusion 1.5 at full size, with random weights: does the exporter take the real thing, on this machine?

    python -m benchmarks.export.sd15 --out runs/sd15

Owns the architecture's numbers, which are those of the published configuration (UNet of 860 M parameters, VAE, CLIP
ViT-L/14), and the table of what an export of it costs. Needs no download and no GPU; weights mean nothing, so its scores
mean nothing. Each precision runs in a process of its own, so that peaks of memory are its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

CLASSES = ("tench", "English springer", "cassette player", "chain saw", "church")
FLAGS = ("--runtime", "tensorrt-rtx", "--compute-capability", "8.0,8.9", "--max-batch", "8", "--no-served-gate")
SEED = 0


def write_pipeline(folder: Path) -> None:
    """Saves the pipeline with random weights in `folder`, in float32."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    from benchmarks.export.letter_tokenizer import letter_tokenizer
    from export_scripts.pipelines.parts import quiet_loading

    torch.manual_seed(SEED)
    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        sample_size=512,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    tokenizer = letter_tokenizer(77)
    with quiet_loading():
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=_text_encoder(tokenizer),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)


def _text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def export(folder: Path, precision: str, gate_resolution: int) -> list[dict[str, Any]]:
    """Exports `folder`/pipeline to `folder`/PRECISION by the command; returns its steps. Raises SystemExit if refused."""
    command = [sys.executable, "-m", "export_scripts.command", str(folder / "pipeline"), "--json"]
    command += ["--classes", str(folder / "classes.txt"), "--out", str(folder / precision), "--precision", precision]
    command += [*FLAGS, "--gate-resolution", str(gate_resolution)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the export in {precision} was refused (code {done.returncode})")
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def table(folder: Path, precision: str, steps: list[dict[str, Any]]) -> str:
    """A row of Markdown per step, then one per file that is served or was preflighted."""
    rows = [
        f"| {precision} | {s['model'] or 'repository'} | {s['what']} | {s['seconds']:.0f} | {s['peak_bytes'] / 1e9:.1f} |"
        for s in steps
    ]
    rows += ["", "| Precision | File | MB |", "|---|---|---|"]
    files = sorted(p for pattern in ("*/1/model.onnx*", "*/preflight/*") for p in (folder / precision).glob(pattern))
    rows += [f"| {precision} | {p.relative_to(folder / precision)} | {p.stat().st_size / 1e6:.1f} |" for p in files]
    head = ["", "| Precision | Model | Step | s | peak GB |", "|---|---|---|---|---|"]
    return "\n".join(head + rows)


@click.command()
@click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("runs/sd15"), show_default=True)
@click.option("--precision", "precisions", multiple=True, default=("fp32", "fp16"), show_default=True)
@click.option("--gate-resolution", default=128, show_default=True, help="Image side at which the gates run.")
def main(out_dir: Path, precisions: tuple[str, ...], gate_resolution: int) -> None:
    """Export the full-size architecture in both precisions, build its engines for SM 8.0 and 8.9, and print the costs."""
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    if not (out_dir / "pipeline" / "model_index.json").is_file():
        write_pipeline(out_dir / "pipeline")
    for precision in precisions:
        print(table(out_dir, precision, export(out_dir, precision, gate_resolution)), flush=True)


if __name__ == "__main__":
    main()
