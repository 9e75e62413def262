"""Tensors that a server of this machine reads where they lie."""
