"""Graphs get their place: Triton's configs, manifests and a README, in a folder that appears whole or not at all."""
