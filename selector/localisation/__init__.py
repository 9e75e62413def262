"""A mean delta map becomes typicalities of windows, and one of them is chosen."""
