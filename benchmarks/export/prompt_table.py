"""What a prompt table of Stable Diffusion 3's size costs to serve: memory, and milliseconds a row beside a small table.

    python -m benchmarks.export.prompt_table --out runs/prompt-table

Owns a pipeline of SD3's kind whose prompts have the published size (333 tokens of 4,096, 2,048 pooled) and whose networks
are tiny, with random weights: so what is measured is the table and the way of a row's conditions to the transformer. It is
exported in float16 once per number of classes, and both repositories are served by the embedded server in turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

WIDTH, POOLED, CLIP_TOKENS = 4096, (768, 1280), 77
SEED, WARM_UP = 0, 5
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ."


@dataclass(frozen=True)
class Served:
    """classes: of the table. file_bytes: of its weights. resident_bytes: of the process that serves it, before and after
    the load. row_ms: by rows of a request."""

    classes: int
    file_bytes: int
    resident_bytes: tuple[int, int]
    row_ms: dict[int, float]


def write_pipeline(folder: Path) -> None:
    """Saves the pipeline with random weights in `folder`."""
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    from benchmarks.export.letter_tokenizer import letter_tokenizer
    from export_scripts.pipelines.parts import quiet_loading

    torch.manual_seed(SEED)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *LETTERS, *"0123456789"]
    words = T5Tokenizer(vocab=[(piece, 0.0 if piece.startswith("<") else -2.0) for piece in pieces], extra_ids=0)
    t5 = T5Config(vocab_size=len(words), d_model=WIDTH, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0)
    vae = AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        shift_factor=0.06,
        force_upcast=False,
    )
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=sum(POOLED),
        pos_embed_max_size=12,
    )
    with quiet_loading():
        StableDiffusion3Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=vae,
            text_encoder=_clip(POOLED[0]),
            tokenizer=letter_tokenizer(CLIP_TOKENS),
            text_encoder_2=_clip(POOLED[1]),
            tokenizer_2=letter_tokenizer(CLIP_TOKENS),
            text_encoder_3=T5EncoderModel(t5),
            tokenizer_3=words,
        ).save_pretrained(folder)


def _clip(pooled: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from benchmarks.export.letter_tokenizer import letter_tokenizer

    tokenizer = letter_tokenizer(CLIP_TOKENS)
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CLIP_TOKENS,
            projection_dim=pooled,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def export(pipeline: Path, repository: Path, classes: int) -> None:
    """Writes the repository, if it is not there."""
    from export_scripts.export import export_pipeline
    from export_scripts.settings import FP16, Settings, Wanted

    if repository.is_dir():
        return
    # Letters alone: the tiny tokenizers know no digits.
    names = tuple(f"class {chr(97 + n // 676)}{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}" for n in range(classes))
    settings = Settings(draws=8, max_batch=8, precision=FP16, served_gate=False)
    export_pipeline(pipeline, repository, settings, Wanted(names))
    gc.collect()


def serve(repository: Path, classes: int, sizes: Sequence[int], seconds: float) -> Served:
    """Serves the repository and asks `noise_loss` for rows of any two classes."""
    from tritonclient import grpc as triton

    from client import contract
    from client.embedded.server import EmbeddedServer
    from client.repository import read_identity

    folder = repository / contract.PROMPT_EMBEDDING
    identity = read_identity(repository)
    with EmbeddedServer(repository, ready_timeout_s=600, threads=1) as server:
        started = _resident(server.pid, contract.PROMPT_EMBEDDING)
        client, row_ms = triton.InferenceServerClient(server.grpc_url), {}
        for rows in sizes:
            rng, taken, over = np.random.default_rng(0), [], time.monotonic() + seconds
            while time.monotonic() < over or len(taken) < WARM_UP + 3:
                ids = [rng.integers(0, len(identity.classes) + 1, (rows, 1)).astype(np.int32) for _ in range(2)]
                draws = rng.integers(0, identity.draws, (rows, 1)).astype(np.int32)
                arrays = [rng.standard_normal((rows, 4, 16, 16), dtype=np.float32), *ids, draws]
                inputs = []
                for name, array in zip(("LATENT", "PROMPT_ID", "REFERENCE_ID", "DRAW"), arrays, strict=True):
                    kind = "FP32" if name == "LATENT" else "INT32"
                    inputs.append(triton.InferInput(name, list(array.shape), kind))
                    inputs[-1].set_data_from_numpy(array)
                begun = time.perf_counter()
                client.infer(contract.NOISE_LOSS, inputs)
                taken.append(time.perf_counter() - begun)
            row_ms[rows] = 1000 * statistics.median(taken[WARM_UP:]) / rows
        ended = _resident(server.pid, contract.PROMPT_EMBEDDING)
    size = sum(path.stat().st_size for path in (folder / "1").iterdir())
    return Served(classes, size, (started, ended), row_ms)


def _resident(pid: int, model: str) -> int:
    """Resident memory of the processes that serve a model."""
    import psutil

    family = psutil.Process(pid).children(recursive=True)
    return sum(process.memory_info().rss for process in family if any(model in word for word in process.cmdline()))


@click.command()
@click.option("--out", "out_dir", type=click.Path(path_type=Path), default=Path("runs/prompt-table"), show_default=True)
@click.option("--classes", "counts", multiple=True, type=int, default=(10, 1000), show_default=True)
@click.option("--rows", "sizes", multiple=True, type=int, default=(1, 8), show_default=True, help="Of a request.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each measurement.")
@click.option("--rounds", default=2, show_default=True, help="Each table is served so often, in turn.")
def main(out_dir: Path, counts: tuple[int, ...], sizes: tuple[int, ...], seconds: float, rounds: int) -> None:
    """Export tables of several numbers of classes, serve them in turn, and print what each costs."""
    out_dir.mkdir(parents=True, exist_ok=True)
    if not (out_dir / "pipeline" / "model_index.json").is_file():
        write_pipeline(out_dir / "pipeline")
    for count in counts:
        export(out_dir / "pipeline", out_dir / f"classes-{count}", count)
    print("| Classes | File: MB | Resident after load: MB | after the rows: MB |", end="")
    print("".join(f" {rows} rows a request: ms a row |" for rows in sizes))
    print("|" + "---|" * (4 + len(sizes)))
    for _ in range(rounds):
        for count in counts:
            found = serve(out_dir / f"classes-{count}", count, sizes, seconds)
            memory = " | ".join(f"{value / 1e6:.0f}" for value in found.resident_bytes)
            times = "".join(f" {found.row_ms[rows]:.1f} |" for rows in sizes)
            print(f"| {count} | {found.file_bytes / 1e6:.0f} | {memory} |{times}", flush=True)


if __name__ == "__main__":
    main()
