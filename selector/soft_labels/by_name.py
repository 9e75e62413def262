"""Teachers by the name that timm or torchvision has for them. Neither can be installed beside this project's torch: untested."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

from selector.errors import UsageError
from selector.soft_labels.files import of_torch, torch_ready
from selector.soft_labels.loaded import Loaded

LIBRARIES = ("timm", "torchvision")


def named(spec: str, threads: int) -> Loaded | None:
    """The teacher timm:NAME or torchvision:NAME, whose weights the library may fetch; None if it is none of these.

    Raises UsageError if the library can't be used, or has no such teacher.
    """
    library, colon, name = spec.partition(":")
    if not colon or library not in LIBRARIES:
        return None
    torch = torch_ready(threads)
    made = _timm if library == "timm" else _torchvision
    try:
        network, side_px, mean, std = made(name)
    except (ImportError, RuntimeError) as error:  # torchvision beside a torch that is not its own: RuntimeError
        raise UsageError(
            f"--teacher {spec}: {library} can't be used here ({error}): install it with the torch that it is made for, "
            "or save the teacher as ONNX and name the file"
        ) from None
    except (ValueError, KeyError, AttributeError, OSError) as error:
        raise UsageError(f"--teacher {spec}: {library} gives no such teacher: {error}") from None
    digest = hashlib.sha256()
    for weights in network.state_dict().values():
        digest.update(weights.numpy().tobytes())
    answer = of_torch(torch, network.eval())
    return Loaded(answer, spec, library, digest.hexdigest(), side_px, mean, std)


_Made = tuple[Any, int, tuple[float, ...], tuple[float, ...]]


def _timm(name: str) -> _Made:
    timm = importlib.import_module("timm")
    network = timm.create_model(name, pretrained=True)
    says = importlib.import_module("timm.data").resolve_model_data_config(network)
    return network, says["input_size"][-1], tuple(says["mean"]), tuple(says["std"])


def _torchvision(name: str) -> _Made:
    models = importlib.import_module("torchvision.models")
    weights = models.get_model_weights(name).DEFAULT
    says = weights.transforms()
    return models.get_model(name, weights=weights), says.crop_size[0], tuple(says.mean), tuple(says.std)
