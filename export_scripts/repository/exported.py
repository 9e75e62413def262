"""An exported repository read back from its own files: the spec that its configs declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from client import contract
from client.contract import Geometry, Identity, Model
from client.errors import ContractError
from client.golden import Golden, golden_of
from client.repository import read_config, read_identity
from export_scripts.errors import PipelineError

VERSION_FOLDER = "1"
ONNX_FILE = "model.onnx"


@dataclass(frozen=True)
class Exported:
    """What the repository in `folder` declares. max_batch: of every model. golden: golden rows of the models that have some."""

    folder: Path
    geometry: Geometry
    identity: Identity
    models: Mapping[str, Model]
    max_batch: int
    golden: Mapping[str, Golden] = field(default_factory=dict)

    def onnx(self, name: str) -> Path:
        """The graph of a leaf."""
        return self.folder / name / VERSION_FOLDER / ONNX_FILE


def read_exported(folder: Path) -> Exported:
    """Reads the repository in `folder`. Raises PipelineError if it was not written by this version's exporter."""
    try:
        configs = {name: read_config(folder, name) for name in (*contract.LEAVES, *contract.ENSEMBLES)}
        identity = read_identity(folder)
        geometry = _geometry(configs, identity)
        golden = {name: golden_of({k: v.string_value for k, v in c.parameters.items()}) for name, c in configs.items()}
    except (ContractError, KeyError) as error:
        raise PipelineError(f"{folder} is no repository of this version's exporter: {error}") from error
    max_batch = min(int(config.max_batch_size) for config in configs.values())
    known = {name: one for name, one in golden.items() if one is not None}
    return Exported(folder, geometry, identity, contract.models(geometry), max_batch, known)


def _geometry(configs: Mapping[str, Any], identity: Identity) -> Geometry:
    """Four tensors and the identity; all other tensors follow from them."""
    latent, prompt = _dims(configs, contract.VAE_ENCODER, "LATENT"), _dims(configs, contract.PROMPT_EMBEDDING, "COND")
    outputs = {item.name: item for item in configs[contract.PROMPT_EMBEDDING].output}
    return Geometry(
        resolution=identity.resolution,
        latent=(latent[0], latent[1], latent[2]),
        prompt=(prompt[0], prompt[1]),
        feature=_dims(configs, contract.DIFT, "FEATURE")[0],
        draws=identity.draws,
        classes=len(identity.classes),
        pooled=int(outputs["COND_POOLED"].dims[0]) if "COND_POOLED" in outputs else 0,
        cond_datatype=pb.DataType.Name(outputs["COND"].data_type).removeprefix("TYPE_"),
    )


def _dims(configs: Mapping[str, Any], model: str, output: str) -> tuple[int, ...]:
    return next((tuple(int(d) for d in item.dims) for item in configs[model].output if item.name == output), ())
