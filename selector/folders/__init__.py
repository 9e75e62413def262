"""Folders and files that commands write: checked, locked, replaced as a whole."""
