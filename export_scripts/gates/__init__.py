"""Exported graphs are held against their references, against float32 and against a real server."""
