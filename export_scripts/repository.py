"""A Triton model repository from a diffusers pipeline: graphs, gates, configs, manifests, then one rename.

    python -m export_scripts.repository PIPELINE --out REPO

Owns the repository's layout and the order of the work. Must not know arithmetic, ONNX details or protobuf.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from client import contract
from client.contract import Model, identity_parameters
from export_scripts.draw_bank import save_draw_bank
from export_scripts.errors import ExportError, PipelineError
from export_scripts.gates import GATE_BATCHES, check
from export_scripts.leaves import Leaves, make_leaves
from export_scripts.manifest import write_ensemble_manifest, write_leaf_manifest
from export_scripts.onnx_export import export_onnx
from export_scripts.publishing import README_FILE, published
from export_scripts.repository_readme import readme
from export_scripts.source_pipeline import SourcePipeline, load_source
from export_scripts.triton_config import write_config

VERSION_FOLDER = "1"
ENSEMBLE_MARKER = "ensemble.txt"  # git and wheels drop empty folders, and Triton wants the version folder
MARKER_TEXT = "An ensemble has no model file; Triton needs this folder as its version.\n"


def export_pipeline(pipeline_dir: Path, out_dir: Path, *, draws: int = 64, max_batch: int = 16) -> None:
    """Writes the seven models of the pipeline in `pipeline_dir` to the repository `out_dir`, all or nothing.

    draws: size of the bank, a power of two. max_batch: rows per request and ONNX run. An earlier export in `out_dir` is
    replaced. Raises ExportError (errors.py); after any error `out_dir` is as it was before.
    """
    source = load_source(pipeline_dir)
    try:
        leaves = make_leaves(source, draws)
    except ValueError as error:
        raise PipelineError(f"{pipeline_dir}: {error}") from error
    specs = contract.models(leaves.geometry)
    with published(out_dir) as folder:
        for name in contract.LEAVES:
            _write_leaf(folder / name, leaves, name, max_batch)
        for name in contract.ENSEMBLES:
            _write_ensemble(folder / name, leaves, specs[name], max_batch)
        _write_constants(folder, source, leaves)
        (folder / README_FILE).write_text(readme(specs, leaves.identity, max_batch), encoding="utf-8")


def _write_leaf(folder: Path, leaves: Leaves, name: str, max_batch: int) -> None:
    leaf, onnx_file = leaves.by_name[name], folder / VERSION_FOLDER / "model.onnx"
    onnx_file.parent.mkdir(parents=True)
    _say(f"{name}: exporting")
    sha256 = export_onnx(leaf, onnx_file)
    gate = check(leaf, onnx_file, batches=sorted({*GATE_BATCHES, max_batch}))
    _say(f"{name}: gates passed, off by {max(gate.errors.values()):.1e} at most; rows by {gate.row_error:.1e}")
    write_config(leaf.model, folder, max_batch=max_batch, parameters=identity_parameters(leaves.identity)[name])
    write_leaf_manifest(folder, leaf.model, leaves.identity, onnx_file, sha256, gate)


def _write_ensemble(folder: Path, leaves: Leaves, model: Model, max_batch: int) -> None:
    version = folder / VERSION_FOLDER
    version.mkdir(parents=True)
    (version / ENSEMBLE_MARKER).write_text(MARKER_TEXT, encoding="utf-8")
    write_config(model, folder, max_batch=max_batch)
    write_ensemble_manifest(folder, model, leaves.identity)


def _write_constants(folder: Path, source: SourcePipeline, leaves: Leaves) -> None:
    """What the graphs hold as constants, readable: with it anyone can recompute a score or a feature."""
    save_draw_bank(leaves.bank, folder / contract.UNET / "draws.npz")
    np.savez(
        folder / contract.PROMPT_EMBEDDING / "prompts.npz",
        prompts=np.array(source.prompts),
        classes=np.array(source.classes),
        table=source.table.numpy(),
    )
    np.savez(
        folder / contract.DIFT / "noise.npz",
        timestep=np.array(source.profile.dift_timestep),
        noise=leaves.dift_noise,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@click.command()
@click.argument("pipeline", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", "out_dir", type=click.Path(path_type=Path), required=True, help="The repository to write.")
@click.option("--draws", default=64, show_default=True, help="Size of the draw bank, a power of two.")
@click.option("--max-batch", default=16, show_default=True, help="Rows per request and per ONNX run.")
def main(pipeline: Path, out_dir: Path, draws: int, max_batch: int) -> None:
    """Export the diffusers PIPELINE as a Triton model repository; nothing is written if a gate refuses it."""
    try:
        export_pipeline(pipeline, out_dir, draws=draws, max_batch=max_batch)
    except ExportError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
    print(out_dir)


if __name__ == "__main__":
    main()
