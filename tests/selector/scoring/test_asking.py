from __future__ import annotations

from pathlib import Path

from client.config import ClientConfig
from client.contract import UNET
from client.embedded.server import EmbeddedServer
from selector.config import ScoreConfig
from selector.scoring.asking import client_config
from tests.toy_repository import write_toy_repository


def config(repository: Path, *servers: str) -> ScoreConfig:
    return ScoreConfig(repository, repository / "store", repository, servers)


def test_servers_elsewhere_are_asked_with_the_patience_of_every_client(tmp_path: Path) -> None:
    """Nothing is known of their models."""
    asked = client_config(config(tmp_path, "gpu1:8001", "gpu2:8001"))
    assert asked == ClientConfig(("gpu1:8001", "gpu2:8001"))


def test_the_embedded_server_of_a_large_model_may_take_minutes_for_an_answer(tmp_path: Path) -> None:
    """As long as its models take to load; twice that with a restart between."""
    repository = write_toy_repository(tmp_path / "toy")
    with (repository / UNET / "1" / "model.onnx.data").open("wb") as file:
        file.truncate(4_000_000_000)
    server = EmbeddedServer(repository)
    server.grpc_url = "127.0.0.1:9"  # as after a start
    asked = client_config(config(repository), server)
    assert asked.servers == ("127.0.0.1:9",)
    assert asked.attempt_s == server.patience_s > 299
    assert asked.deadline_s == 2 * server.patience_s
