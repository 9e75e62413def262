"""A real tritonserver on loopback as a subprocess of this one, out of the `nvidia-pytriton` wheel."""
