"""Test images with true boxes, made from Fashion-MNIST."""
