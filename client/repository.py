"""Reads what a Triton repository serves from its files, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from client.contract import ENSEMBLES, LEAVES, Identity, identity_from_parameters
from client.errors import ContractError
from client.wire import ServedModel, served_model


def read_config(repository: Path, model: str) -> Any:
    """The parsed config.pbtxt (a ModelConfig message) of a model; raises ContractError that names the file."""
    path = repository / model / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except OSError:
        raise ContractError(f"{repository} is not a repository of this project: {path} can't be read") from None
    except text_format.ParseError as error:
        raise ContractError(f"{path} is not a model configuration: {error}") from None


def read_identity(repository: Path) -> Identity:
    """The identity that a repository's configs carry; raises ContractError if one is missing or incomplete."""
    configs = {leaf: read_config(repository, leaf) for leaf in LEAVES}
    return identity_from_parameters(
        {leaf: {k: v.string_value for k, v in config.parameters.items()} for leaf, config in configs.items()}
    )


def read_models(repository: Path) -> dict[str, ServedModel]:
    """All seven models as a Triton server of this repository would tell of them; raises ContractError."""
    return {name: served_model(read_config(repository, name)) for name in (*LEAVES, *ENSEMBLES)}
