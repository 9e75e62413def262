"""A diffusers pipeline is checked, loaded and read into one record, whatever its kind."""
