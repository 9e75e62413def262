"""Teachers in files: our own teacher.pt, TorchScript and ONNX. What would be unpickled is refused, with what to do instead."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError, UsageError
from selector.folders.files import told
from selector.processes import cores
from selector.soft_labels.loaded import Loaded

_OURS = (0.5, 0.5, 0.5)
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_EXPORT = (
    "save the network as ONNX (torch.onnx.export(model.eval(), (torch.zeros(1, 3, 224, 224),), 'teacher.onnx')) or as "
    "TorchScript (torch.jit.trace(model.eval(), torch.zeros(1, 3, 224, 224)).save('teacher.ts'))"
)


def read_file(spec: str, threads: int) -> Loaded:
    """The teacher in a file; raises UsageError for a file that is none. threads: 0 for one on each core."""
    path = Path(spec)
    try:
        digest, members = _digest(path), _members(path)
    except OSError as error:
        raise UsageError(f"--teacher: {told(error, path, 'read')}") from None
    if members is None and path.suffix.lower() == ".onnx":
        return _onnx(path, digest, threads)
    if members is None:
        raise _refused(path, "is neither a file of torch nor called .onnx")
    if "constants.pkl" in members:
        return _torchscript(path, digest, threads)
    if "archive_format" in members:
        raise _refused(
            path,
            "is a program of torch.export, which torch can read by unpickling alone, and a pickle can run anything",
        )
    return _ours(path, digest, threads)


def _digest(path: Path) -> str:
    """Of the file, and of the weights of an ONNX graph where torch's exporter lays them."""
    digest = hashlib.sha256()
    for part in (path, path.with_name(f"{path.name}.data")):
        if part == path or part.is_file():
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _members(path: Path) -> set[str] | None:
    """What a file of torch holds, below its one folder; None for a file of another kind."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2] for name in archive.namelist()}


def _refused(path: Path, what: str) -> UsageError:
    return UsageError(f"--teacher: {path} {what}: {_EXPORT}")


def torch_ready(threads: int) -> Any:
    """torch, with so many threads; raises SelectorError where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise SelectorError(
            f"a teacher of torch needs {error.name!r}: install the extra with pip install 'diffusion-selector[evaluate]', or "
            "save the teacher as ONNX"
        ) from None
    torch.set_num_threads(threads or cores())
    return torch


def of_torch(torch: Any, network: Any) -> Any:
    """The network as a function from array to array."""

    def answer(images: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images)).float())

    return answer


def _ours(path: Path, digest: str, threads: int) -> Loaded:
    from pickle import UnpicklingError

    torch = torch_ready(threads)
    try:
        content = torch.load(path, weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError):
        raise _refused(path, "holds pickled objects, not weights alone, and a pickle can run anything") from None
    if not (isinstance(content, dict) and {"about", "weights"} == set(content)):
        raise _refused(path, "holds weights without the network that they are of")
    from selector.evaluation.teacher import load_teacher

    teacher = load_teacher(path)
    answer = of_torch(torch, teacher.network)
    return Loaded(answer, path.name, "selector", digest, teacher.side_px, _OURS, _OURS, teacher.class_names)


def _torchscript(path: Path, digest: str, threads: int) -> Loaded:
    torch = torch_ready(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it is; its files stay
            network = torch.jit.load(path, map_location="cpu").eval()
    except RuntimeError as error:
        raise UsageError(f"--teacher: {path} can't be read as TorchScript: {str(error).splitlines()[0]}") from None
    return Loaded(of_torch(torch, network), path.name, "torchscript", digest)


def _onnx(path: Path, digest: str, threads: int) -> Loaded:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise UsageError(f"--teacher: {path} can't be read as ONNX: {str(error).splitlines()[0]}") from None
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3  # channels
    sides = {side for side in (shape[1:3] if last else shape[2:4]) if isinstance(side, int)}
    if len(shape) != 4 or inputs[0].type not in _TYPES or not (last or shape[1] == 3) or len(sides) > 1:
        stated = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise UsageError(
            f"--teacher: {path} takes {stated}: expected one input of floats, n × 3 × S × S or n × S × S × 3"
        )
    name, kind, first = inputs[0].name, _TYPES[inputs[0].type], session.get_outputs()[0].name

    def answer(images: NDArray[np.float32]) -> NDArray[Any]:
        given = np.ascontiguousarray(images.transpose(0, 2, 3, 1) if last else images, kind)
        try:
            return np.asarray(session.run([first], {name: given})[0])
        except Exception as error:
            raise RuntimeError(error) from None

    rows = shape[0] if isinstance(shape[0], int) else None
    return Loaded(answer, path.name, "onnx", digest, next(iter(sides), None), rows=rows)
