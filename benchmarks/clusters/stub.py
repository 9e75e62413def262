"""A repository that a real server serves and that computes next to nothing, for measuring everything around the computing."""

from __future__ import annotations

import shutil
from pathlib import Path

from client import contract
from export_scripts.repository.triton_config import model_config, write_config

DRAWS = 16
_MODEL = Path(__file__).with_name("stub_model.py")


def write_stub(root: Path, classes: tuple[str, ...], *, sleep_s: float = 0.0, max_batch: int = 8) -> Path:
    """Writes the repository below `root` and returns it. sleep_s: how long a batch of the UNet takes."""
    geometry = contract.Geometry(
        resolution=16, latent=(3, 4, 4), prompt=(2, 5), feature=8, draws=DRAWS, classes=len(classes)
    )
    identity = contract.Identity(
        pipeline="stub",
        classes=classes,
        prompts=("", *classes),
        draws=DRAWS,
        timesteps=tuple(range(100, 100 + DRAWS)),
        timestep_weights=(1.0,) * DRAWS,
        resolution=geometry.resolution,
        precision="fp32",
        window_fraction=0.5,
        rule="null",
        prior_weight=0.0,
        dift="mid@161",
    )
    parameters = contract.identity_parameters(identity)
    parameters[contract.UNET]["sleep_s"] = str(sleep_s)
    for name, model in contract.models(geometry).items():
        (root / name / "1").mkdir(parents=True)
        config = model_config(model, backend="python", max_batch=max_batch, parameters=parameters.get(name))
        write_config(config, root / name)
        if not model.steps:
            shutil.copy2(_MODEL, root / name / "1" / "model.py")
    return root
