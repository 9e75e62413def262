"""A Triton model repository from a diffusers pipeline: graphs, gates, configs, manifests, then one rename."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from client import contract
from client.contract import Identity, identity_parameters
from client.golden import golden_parameters
from export_scripts.engines.engines import add_engines
from export_scripts.gates.golden import ROWS, in_onnx_runtime, in_torch, make_golden
from export_scripts.gates.graph import GATE_LOAD, GateLoad, check, check_signature, check_values, open_session
from export_scripts.gates.precision import check_precision
from export_scripts.gates.served import check_served
from export_scripts.graphs.draw_bank import save_draws
from export_scripts.graphs.leaves import Leaves, make_leaves, make_networks
from export_scripts.graphs.onnx_export import export_onnx
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.recorded import record_of
from export_scripts.pipelines.source import at_resolution, load_source
from export_scripts.repository.exported import ONNX_FILE, VERSION_FOLDER, read_exported
from export_scripts.repository.manifest import add_to_manifest, write_ensemble_manifest, write_leaf_manifest
from export_scripts.repository.publishing import README_FILE, published
from export_scripts.repository.readme import readme
from export_scripts.repository.triton_config import add_parameters, model_config, write_config
from export_scripts.settings import FP32, Settings, Wanted
from export_scripts.steps import Steps

ENSEMBLE_MARKER = "ensemble.txt"  # git and wheels drop empty folders, and Triton wants the version folder
MARKER_TEXT = "An ensemble has no model file; Triton needs this folder as its version.\n"
# Where the gates run at a resolution of their own, the model is large: minutes on a few cores.
LARGE_LOAD = GateLoad((1, 2, 3), rows=3, threads=0)
LARGE_GOLDEN_ROWS = 2


def export_pipeline(
    pipeline_dir: Path,
    out_dir: Path,
    settings: Settings | None = None,
    wanted: Wanted | None = None,
    steps: Steps | None = None,
) -> None:
    """Writes the seven models of the pipeline in `pipeline_dir` to the repository `out_dir`, all or nothing.

    An earlier export in `out_dir` is replaced. Raises ExportError (errors.py); after any error `out_dir` is as it was
    before.
    """
    settings, steps = settings or Settings(), steps or Steps()
    with published(out_dir) as folder:
        _write_models(pipeline_dir, folder, settings, wanted, steps)
        # The pipeline is out of memory by now: an engine builder needs as much again.
        add_engines(folder, settings, steps)
        check_served(folder, settings.served_gate, steps)


def _write_models(pipeline_dir: Path, folder: Path, settings: Settings, wanted: Wanted | None, steps: Steps) -> None:
    with steps.step("pipeline loaded"):
        source = load_source(pipeline_dir, replace(wanted or Wanted(), tell=steps.tell))
        for note in source.notes:
            steps.tell(note)
        networks = make_networks(source, settings.precision)
        leaves = make_leaves(source, settings.draws, networks)
        order = source.profile.draw_order
        if order is not None and len(order) != settings.draws:
            steps.tell(
                f"the pipeline's order of draws is one of {len(order)}, this bank has {settings.draws}: choose one with selector "
                "calibrate"
            )
    with ExitStack() as stack:
        probe = None
        if settings.gate_resolution not in (None, source.resolution):
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix=".probe-", dir=folder.parent)))
            small = at_resolution(source, settings.gate_resolution)
            probe = Probe(small, make_leaves(small, settings.draws, networks), scratch)
        graphs = {}
        for name in contract.LEAVES:
            graphs[name] = _write_leaf(folder / name, leaves, name, settings, probe, steps)
        if settings.precision != FP32:
            with steps.step("windows compared with fp32"):
                gated, same = (probe.source, probe.leaves) if probe else (source, leaves)
                result = check_precision(gated, same, graphs, settings.gate_images)
            add_to_manifest(folder / contract.UNET, precision_gate=result)
    _write_rest(folder, source, leaves, settings)
    with steps.step("golden rows answered by torch"):
        full = leaves if settings.precision == FP32 else make_leaves(source, settings.draws)
        _write_golden(folder, full, large=probe is not None)
    if source.text_digest:
        files = record_of((wanted or Wanted()).files)
        origin = {"pipeline": str(pipeline_dir.resolve()), "text_digest": source.text_digest, "files": files}
        add_to_manifest(folder / contract.PROMPT_EMBEDDING, source=origin)


@dataclass(frozen=True)
class Probe:
    """The same weights at the gates' resolution, and a folder for their graphs."""

    source: SourcePipeline
    leaves: Leaves
    folder: Path


def _write_leaf(folder: Path, leaves: Leaves, name: str, settings: Settings, probe: Probe | None, steps: Steps) -> Path:
    """Writes one leaf model and returns the graph that its gates ran."""
    leaf, onnx_file = leaves.by_name[name], folder / VERSION_FOLDER / ONNX_FILE
    onnx_file.parent.mkdir(parents=True)
    with steps.step("exported", name):
        files = export_onnx(leaf, onnx_file)
    resolution, gated = leaves.geometry.resolution, onnx_file
    if probe is None or name == contract.PROMPT_EMBEDDING:
        with steps.step("gates passed", name):
            gate = check(leaf, onnx_file, GATE_LOAD.up_to(settings.max_batch))
        gates = gate.values(resolution)
    else:
        gated = probe.folder / name / ONNX_FILE
        gated.parent.mkdir()
        with steps.step(f"gates passed at {probe.source.resolution} px", name):
            export_onnx(probe.leaves.by_name[name], gated)
            load = LARGE_LOAD.up_to(settings.max_batch)
            gate = check(probe.leaves.by_name[name], gated, load)
        with steps.step(f"one row compared at {resolution} px", name):
            session = open_session(name, onnx_file, threads=0)
            check_signature(leaf.model, session)
            error = check_values(leaf, session, 1)
        gates = gate.values(probe.source.resolution) | {"relative_error_of_a_row": {str(resolution): error}}
    steps.tell(f"{name}: off by {max(gate.errors.values()):.1e} at most; rows by {gate.row_error:.1e}")
    parameters = identity_parameters(leaves.identity)[name]
    write_config(model_config(leaf.model, max_batch=settings.max_batch, parameters=parameters), folder)
    write_leaf_manifest(folder, leaf, leaves.identity, files, gates)
    return gated


def _write_rest(folder: Path, source: SourcePipeline, leaves: Leaves, settings: Settings) -> None:
    """Ensembles, README, and what the graphs hold as constants: with it anyone can recompute a score or a feature."""
    specs = contract.models(leaves.geometry)
    for name in contract.ENSEMBLES:
        version = folder / name / VERSION_FOLDER
        version.mkdir(parents=True)
        (version / ENSEMBLE_MARKER).write_text(MARKER_TEXT, encoding="utf-8")
        write_config(model_config(specs[name], max_batch=settings.max_batch), folder / name)
        write_ensemble_manifest(folder / name, specs[name], leaves.identity)
    (folder / README_FILE).write_text(readme(specs, leaves.identity, settings.max_batch), encoding="utf-8")
    save_draws(leaves.bank, folder / contract.UNET / "draws.npz")
    save_prompts(folder / contract.PROMPT_EMBEDDING, leaves.identity, source.table, source.pooled)
    np.savez(
        folder / contract.DIFT / "noise.npz", timestep=np.array(source.profile.dift_timestep), noise=leaves.dift_noise
    )


def _write_golden(folder: Path, leaves: Leaves, *, large: bool) -> None:
    """Golden rows of every model into its config. leaves: in float32. large: fewer rows, and the graphs are asked one."""
    exported = read_exported(folder)
    models, precision = exported.models, exported.identity.precision
    graphs = in_onnx_runtime(models, {name: exported.onnx(name) for name in contract.LEAVES}, threads=0 if large else 1)
    rows, run_rows = (LARGE_GOLDEN_ROWS, 1) if large else (ROWS, ROWS)
    made = make_golden(models, precision, in_torch(leaves), graphs, rows, run_rows)
    for name, golden in made.golden.items():
        add_parameters(folder / name, golden_parameters(golden))
        add_to_manifest(folder / name, golden_rows_error=made.errors[name])


def save_prompts(folder: Path, identity: Identity, table: Tensor, pooled: Tensor | None) -> None:
    """prompts.npz: texts, the classes' ids (and names where they differ) and their conditions, float32."""
    arrays = {"table": table.numpy()} | ({} if pooled is None else {"pooled": pooled.numpy()})
    named = {"class_names": np.array(identity.class_names)} if identity.class_names else {}
    texts = {"prompts": np.array(identity.prompts), "classes": np.array(identity.classes)}
    np.savez(folder / "prompts.npz", **texts, **arrays, **named)
