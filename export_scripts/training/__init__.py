"""A folder of images becomes a small pipeline."""
