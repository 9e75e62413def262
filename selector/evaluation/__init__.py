"""Whether students learn more from a selection: baselines on the same pools, teacher, students, tables.

The only part of `selector` that imports torch; nothing outside imports it at top level.
"""
