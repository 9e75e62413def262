"""What students learn from a selection: the tables of `selector evaluate`."""
