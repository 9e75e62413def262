"""Finds, describes, clusters and ranks the patches of a labelled image set that its class prompts explain."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("diffusion-selector")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0.0.0"
