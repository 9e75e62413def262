"""Whether the embedded server can run here, said in plain words."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sysconfig
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from client.embedded import wheel

Patch = pytest.MonkeyPatch


def _mac(patch: Patch) -> None:
    patch.setattr(platform, "system", lambda: "Darwin")


def _old_glibc(patch: Patch) -> None:
    patch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))


def _musl(patch: Patch) -> None:
    patch.setattr(platform, "libc_ver", lambda: ("", ""))


def _without(package: str) -> Callable[[Patch], None]:
    def hide(patch: Patch) -> None:
        find = importlib.util.find_spec
        patch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))

    return hide


def _future_python(patch: Patch) -> None:
    patch.setattr(wheel.sys, "version_info", namedtuple("Version", "major minor")(3, 99))


def _static_python(patch: Patch) -> None:
    patch.setattr(sysconfig, "get_config_var", lambda name: "libpython3.11.a" if name == "INSTSONAME" else "/nowhere")


def _full_memory(patch: Patch) -> None:
    patch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(5 << 20))


def test_nothing_is_wrong_with_this_machine() -> None:
    """Else the integration tests could not run."""
    assert wheel.embedded_problem() is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_mac, ("Linux x86_64", "Darwin", "--server")),
        (_old_glibc, ("glibc 2.35", "glibc 2.31", "--server")),
        (_musl, ("glibc 2.35", "--server")),
        (_without("pytriton"), ("nvidia-pytriton", "not installed", "--server")),
        (_without("onnxruntime"), ("onnxruntime", "not installed")),
        (_future_python, ("no stub for Python 3.99", "3.11")),
        (_static_python, ("libpython", "--enable-shared")),
        (_full_memory, ("5 MiB", "/dev/shm", "--shm-size")),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    monkeypatch: Patch, spoil: Callable[[Patch], None], words: tuple[str, ...]
) -> None:
    """One plain sentence each."""
    spoil(monkeypatch)
    problem = wheel.embedded_problem()
    assert problem is not None
    assert all(word in problem for word in words), problem


def test_the_backend_directory_holds_what_the_server_needs_and_no_library_outside_it(tmp_path: Path) -> None:
    """The server refuses a backend's library that is a link to elsewhere."""
    folder = wheel.assemble(wheel.locate(), tmp_path / "backends")
    library = folder / "python" / "libtriton_python.so"
    stub = folder / "python" / "triton_python_backend_stub"
    assert library.is_file()
    assert not library.is_symlink()
    assert os.access(stub, os.X_OK)
    assert (folder / "python" / "triton_python_backend_utils.py").is_file()
    assert (folder / "onnxruntime" / "model.py").is_file()


def test_the_environment_finds_this_python_first_and_has_only_what_the_server_needs(tmp_path: Path) -> None:
    """PYTHONHOME would lead the stub to another Python; secrets are nobody else's."""
    base = {"PATH": "/somewhere", "LD_LIBRARY_PATH": "/libraries", "PYTHONHOME": "/other", "LANG": "C"}
    base |= {"SELECTOR_HEADER": "authorization: Bearer x", "AWS_SECRET_ACCESS_KEY": "x", "CUDA_VISIBLE_DEVICES": "1"}
    found = wheel.environment(wheel.locate(), tmp_path, base)
    assert found["PATH"].endswith(":/somewhere")
    assert (Path(found["PATH"].split(":")[0]) / "python3").exists()
    assert found["LD_LIBRARY_PATH"].split(":")[0] == str(tmp_path / "lib")
    assert found["LD_LIBRARY_PATH"].endswith(":/libraries")
    assert "PYTHONHOME" not in found
    assert (found["LANG"], found["CUDA_VISIBLE_DEVICES"]) == ("C", "1")
    assert not {"SELECTOR_HEADER", "AWS_SECRET_ACCESS_KEY"} & set(found)
    assert base["PYTHONHOME"] == "/other"
