"""`selector doctor --server` against real servers: a sound one, and one that could not load everything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from client.wire import Health
from export_scripts.errors import NotServed
from export_scripts.gates.served import check_served
from export_scripts.steps import Steps
from selector.doctor import examine
from tests.toy_repository import write_toy_repository

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]


def test_a_sound_server_is_described_model_by_model(toy_server: EmbeddedServer) -> None:
    findings = {f.what: f for f in examine((toy_server.grpc_url,))}
    assert "contract met" in findings[f"server {toy_server.grpc_url}"].detail
    assert findings[f"{toy_server.grpc_url} unet_noise_predictor"].detail.startswith("onnxruntime, up to ")
    golden = findings.pop(f"{toy_server.grpc_url} golden rows")
    assert not golden.ok
    assert "can't be checked" in golden.detail
    assert all(f.ok for what, f in findings.items() if toy_server.grpc_url in what)


def test_an_address_without_a_server_is_one_finding() -> None:
    (finding,) = [f for f in examine(("127.0.0.1:9",)) if "127.0.0.1:9" in f.what]
    assert not finding.ok
    assert "can't say what it serves" in finding.detail


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A repository whose UNet has lost its graph, and whose encoder wants a plan that this server has no backend for."""
    folder = write_toy_repository(tmp_path / "repository")
    (folder / "unet_noise_predictor" / "1" / "model.onnx").unlink()
    config = folder / "vae_encoder" / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "tensorrt"'))
    return folder


def test_what_a_server_could_not_load_is_explained(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real server's own words for a missing graph, a missing backend and what depends on both.

    An embedded server with failed models is stopped at once; here it is let live, as one on a GPU host would.
    """
    monkeypatch.setattr(Health, "failed_models", lambda self: {})
    with EmbeddedServer(damaged) as server:
        findings = {f.what.removeprefix(f"{server.grpc_url} "): f for f in examine((server.grpc_url,))}
        summary = findings[f"server {server.grpc_url}"]
    assert not summary.ok
    assert "5 of 7 models are not ready" in summary.detail
    assert "its graph is missing" in findings["unet_noise_predictor"].detail
    assert "the server has no such backend" in findings["vae_encoder"].detail
    for ensemble in ("noise_loss", "patch_features", "patch_scorer"):
        assert "composed of did not load" in findings[ensemble].detail
    assert findings["dift_extractor"].ok


def test_the_served_gate_refuses_what_the_server_does_not_load(damaged: Path) -> None:
    with pytest.raises(NotServed, match=r"(?s)does not serve the repository.*unet_noise_predictor"):
        check_served(damaged, True, Steps(say=False))


def test_the_served_gate_refuses_a_config_that_does_not_fit_its_graph(tiny_repository: Path, tmp_path: Path) -> None:
    """The names are right, a size is not: warm-up runs the graph and finds it."""
    folder = tmp_path / "repository"
    shutil.copytree(tiny_repository, folder)
    config = folder / "dift_extractor" / "config.pbtxt"
    config.write_text(config.read_text().replace("  dims: 16\n  dims: 8\n", "  dims: 16\n  dims: 4\n"))
    with pytest.raises(NotServed):
        check_served(folder, True, Steps(say=False))
