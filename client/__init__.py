"""Everything between an image in memory and its loss map or feature, served by Triton."""
