"""The tritonserver inside the installed `nvidia-pytriton` wheel: where it lies, and what it needs to run here.

Facts about the wheel: server 2.51 (24.10), the python backend and its stubs, no other.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client import allocation, telemetry
from client.errors import EmbeddedError

LEAST_GLIBC = (2, 35)
LEAST_SHARED_MEMORY = 32 << 20
"""Bytes free in /dev/shm: every model instance takes 1 MiB and grows with its tensors."""

SHARED_MEMORY = Path("/dev/shm")
OWN_BACKENDS = Path(__file__).parent / "backends"
_NEEDED = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "HOME", "TMPDIR", "LANG", "TZ", "PYTHONPATH", "PYTHONUSERBASE")
"""Variables that the server is given of this program's: where programs, libraries and packages lie. All others stay here."""
_NEEDED_PREFIXES = ("LC_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_", "NVIDIA_")
_INSTEAD = "; use --server HOST:PORT with a Triton server elsewhere"


@dataclass(frozen=True)
class Wheel:
    """Paths in the installed wheel and of the running Python's shared library."""

    server: Path
    libraries: Path
    python_backend: Path
    stub: Path
    libpython: Path


def embedded_problem() -> str | None:
    """Why the embedded server can't run on this machine, as a plain sentence; None if it can."""
    try:
        locate()
    except EmbeddedError as error:
        return str(error)
    free, least = shutil.disk_usage(SHARED_MEMORY).free >> 20, LEAST_SHARED_MEMORY >> 20
    if free < least:
        return (
            f"only {free} MiB are free in {SHARED_MEMORY}, the embedded server needs {least}: "
            "remove what fills it, or start the container with a larger --shm-size"
        )
    return None


def locate() -> Wheel:
    """Finds the wheel. Raises EmbeddedError with a plain sentence if it can't run on this machine."""
    _check_machine()
    _check_packages()
    package = importlib.util.find_spec("pytriton")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError(f"the package nvidia-pytriton, which carries tritonserver, is not installed{_INSTEAD}")
    site = Path(next(iter(package.submodule_search_locations)))
    root = site / "tritonserver"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheel = Wheel(
        server=root / "bin" / "tritonserver",
        libraries=site.parent / "nvidia_pytriton.libs",
        python_backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / python / "triton_python_backend_stub",
        libpython=_libpython(),
    )
    if not wheel.stub.is_file():
        found = ", ".join(sorted(p.name for p in (root / "python_backend_stubs").glob("*"))) or "none"
        raise EmbeddedError(f"tritonserver has no stub for Python {python} (it has: {found}){_INSTEAD}")
    missing = [str(p) for p in (wheel.server, wheel.libraries, wheel.python_backend) if not p.exists()]
    if missing:
        raise EmbeddedError(f"the installed nvidia-pytriton lacks {', '.join(missing)}: install it again")
    return wheel


def assemble(wheel: Wheel, folder: Path) -> Path:
    """Fills `folder` with a backend directory of two backends, `python` and our `onnxruntime`, and returns it.

    The server resolves links and refuses a library that lies outside its backend's folder, so the python backend's two
    binaries (3 MB) are copied.
    """
    python = folder / "python"
    python.mkdir(parents=True)
    for source in (*wheel.python_backend.iterdir(), wheel.stub):
        if source.is_file():
            shutil.copy2(source, python / source.name)
    (python / wheel.stub.name).chmod(0o755)
    for backend in OWN_BACKENDS.iterdir():
        if (backend / "model.py").is_file():
            (folder / backend.name).mkdir()
            for source in backend.glob("*.py"):
                shutil.copy2(source, folder / backend.name / source.name)
    libraries = folder / "lib"
    libraries.mkdir()
    (libraries / wheel.libpython.name).symlink_to(wheel.libpython)
    return folder


def environment(wheel: Wheel, backends: Path, base: Mapping[str, str]) -> dict[str, str]:
    """What the server and its stubs need of `base`, no secret among it, and to find their libraries and this very Python."""
    env = {name: value for name, value in base.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)}
    # The copied backend has lost its relative path to these; only libpython's own folder would be too much (conda).
    libraries = [str(backends / "lib"), str(wheel.libraries), env.get("LD_LIBRARY_PATH", "")]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    # The stub takes its prefix from the first python3 on PATH.
    env["PATH"] = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), env.get("PATH", os.defpath)]))
    env["OPENBLAS_NUM_THREADS"] = "1"  # numpy in a stub only concatenates
    return allocation.environment() | env | telemetry.OFF


def _check_machine() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        here = f"{platform.system()} {platform.machine()}"
        raise EmbeddedError(f"the embedded server exists for Linux x86_64 only, this is {here}{_INSTEAD}")
    name, version = platform.libc_ver()
    numbers = tuple(int(n) for n in version.split(".")[:2] if n.isdigit())
    if name != "glibc" or numbers < LEAST_GLIBC:
        least = ".".join(map(str, LEAST_GLIBC))
        raise EmbeddedError(f"the embedded server needs glibc {least} or newer, this is {name} {version}{_INSTEAD}")


def _check_packages() -> None:
    for package in ("onnxruntime", "numpy"):
        if importlib.util.find_spec(package) is None:
            raise EmbeddedError(f"the package {package}, which runs the models, is not installed{_INSTEAD}")


def _libpython() -> Path:
    """The shared library of this Python, which the stub links to by its soname."""
    soname = str(sysconfig.get_config_var("INSTSONAME") or "")
    folders = (str(sysconfig.get_config_var("LIBDIR") or ""), str(Path(sys.base_prefix) / "lib"))
    for folder in folders:
        library = Path(folder) / soname
        if ".so" in soname and library.is_file():
            return library
    package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    raise EmbeddedError(
        f"this Python ({sys.executable}) has no shared libpython, which the embedded server's stub loads: "
        f"install the package {package}, or build Python with --enable-shared{_INSTEAD}"
    )
