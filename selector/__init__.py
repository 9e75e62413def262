"""Finds, describes, clusters and ranks the patches of a labelled image set that its class prompts explain."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, looked up when it is asked for: that takes longer than starting to listen to signals (console/)."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("diffusion-selector")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0.0.0"
