"""A new list of classes for an exported repository: `prompt_embedding` is made again, everything else stays.

Only the pipeline's text encoders are loaded; the repository remembers where its pipeline was. What the ensembles must answer
changes with the prompts, so their golden rows are answered again, by the repository's own graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client import contract
from client.contract import Geometry, identity_parameters
from client.golden import Golden, golden_parameters
from export_scripts.errors import GoldenMismatch, PipelineError
from export_scripts.export import save_prompts
from export_scripts.gates.golden import from_graphs, in_onnx_runtime
from export_scripts.gates.graph import GATE_LOAD, check
from export_scripts.graphs.leaves import prompt_leaf
from export_scripts.graphs.onnx_export import export_onnx
from export_scripts.pipelines.recorded import as_recorded, record_of
from export_scripts.pipelines.text import PromptTable, read_prompts
from export_scripts.repository.exported import ONNX_FILE, VERSION_FOLDER, Exported, read_exported
from export_scripts.repository.manifest import add_to_manifest, file_record, read_manifest, write_leaf_manifest
from export_scripts.repository.publishing import swapped
from export_scripts.repository.triton_config import add_parameters, model_config, write_config
from export_scripts.settings import Wanted
from export_scripts.steps import Steps

PROMPTED = (contract.PROMPT_EMBEDDING, *contract.ENSEMBLES)
"""The models whose answers depend on the prompts."""


def replace_classes(repository: Path, wanted: Wanted, pipeline: Path | None, steps: Steps) -> None:
    """Gives `repository` the wanted classes and prompts. pipeline: where it is now; None is where it was exported from.

    Raises PipelineError if that is not the pipeline of this repository, or its table was learned; GateError.
    """
    exported = read_exported(repository)
    folder = repository / contract.PROMPT_EMBEDDING
    origin = read_manifest(folder).get("source")
    if origin is None:
        raise PipelineError(f"{repository} has a learned prompt table: train for other classes, and export again")
    found = pipeline or Path(origin["pipeline"])
    files = as_recorded(wanted.files, origin.get("files", {}))
    if found.is_dir():  # a folder has configurations of its own, and the repository may have been made of a file
        files = replace(files, config=wanted.files.config)
    wanted = replace(wanted, files=files)
    with steps.step("prompts encoded", contract.PROMPT_EMBEDDING):
        table = read_prompts(found, replace(wanted, tell=steps.tell)).fitted(exported.geometry.prompt[0])
        for note in table.notes:
            steps.tell(note)
    if table.digest != origin["text_digest"]:
        raise PipelineError(
            f"the text encoders of {found} have the digest {table.digest}, {repository} was made with those of "
            f"{origin['text_digest']}: another pipeline's prompts would mean nothing to its UNet"
        )
    with steps.step("written", contract.PROMPT_EMBEDDING), swapped(folder) as staged:
        geometry = _write(staged, exported, table, wanted)
        origin = {"pipeline": str(found.resolve()), "text_digest": table.digest, "files": record_of(wanted.files)}
        add_to_manifest(staged, source=origin)
        changed = replace(exported, geometry=geometry, models=contract.models(geometry))
        lacking = [name for name in changed.models if name in PROMPTED or name not in exported.golden]
        golden = _answered(changed, lacking, steps, prompts=staged / VERSION_FOLDER / ONNX_FILE)
        if contract.PROMPT_EMBEDDING in golden:
            _add(staged.parent, {staged.name: golden.pop(contract.PROMPT_EMBEDDING)})
    _add(repository, golden)


def add_golden_rows(repository: Path, steps: Steps) -> None:
    """Gives the models of `repository` golden rows that lack them, by its own graphs. Raises GoldenMismatch if it can't."""
    exported = read_exported(repository)
    if lacking := [name for name in exported.models if name not in exported.golden]:
        _add(repository, _answered(exported, lacking, steps))


def _answered(exported: Exported, names: Sequence[str], steps: Steps, prompts: Path | None = None) -> dict[str, Golden]:
    """Golden rows of these models. prompts: the graph of `prompt_embedding`, if it is not yet in its place.

    Where there were none, in another precision than float32, there are none again.
    """
    graphs = {name: exported.onnx(name) for name in contract.LEAVES}
    for name in contract.LEAVES:
        if name != contract.PROMPT_EMBEDDING or prompts is None:
            _check_graph(exported.folder / name, graphs[name])
    if prompts is not None:
        graphs[contract.PROMPT_EMBEDDING] = prompts
    models, precision = exported.models, exported.identity.precision
    with steps.step("golden rows answered by the graphs"):
        try:
            return from_graphs(models, precision, in_onnx_runtime(models, graphs, 0), exported.golden, names)
        except GoldenMismatch as error:
            steps.tell(f"no golden rows: {error}")
            return {}


def _check_graph(folder: Path, graph: Path) -> None:
    """Raises GoldenMismatch unless the graph is the one that the export compared with torch."""
    if read_manifest(folder)["onnx"]["sha256"] != file_record(graph, folder)["sha256"]:
        raise GoldenMismatch(f"{graph} is not the file that was exported: export the pipeline again")


def _add(repository: Path, golden: Mapping[str, Golden]) -> None:
    for name, one in golden.items():
        add_parameters(repository / name, golden_parameters(one))


def _write(folder: Path, exported: Exported, table: PromptTable, wanted: Wanted) -> Geometry:
    classes = wanted.classes or ()
    geometry = replace(exported.geometry, classes=len(classes))
    model = contract.models(geometry)[contract.PROMPT_EMBEDDING]
    width = (exported.geometry.prompt, exported.geometry.pooled)
    if width != (tuple(table.tokens.shape[1:]), 0 if table.pooled is None else table.pooled.shape[1]):
        more = ": the longest one needs more room, so export again with these classes" if table.masked else ""
        raise PipelineError(f"prompts are {tuple(table.tokens.shape[1:])} here, the repository takes {width[0]}{more}")
    identity = replace(exported.identity, classes=classes, class_names=wanted.class_names, prompts=table.prompts)
    leaf = prompt_leaf(model, table.tokens, table.pooled, identity.precision)
    onnx_file = folder / VERSION_FOLDER / ONNX_FILE
    onnx_file.parent.mkdir()
    files = export_onnx(leaf, onnx_file)
    gate = check(leaf, onnx_file, GATE_LOAD.up_to(exported.max_batch))
    parameters = identity_parameters(identity)[model.name]
    write_config(model_config(model, max_batch=exported.max_batch, parameters=parameters), folder)
    write_leaf_manifest(folder, leaf, identity, files, gate.values(identity.resolution))
    save_prompts(folder, identity, table.tokens, table.pooled)
    return geometry
