"""Exports at full size."""
