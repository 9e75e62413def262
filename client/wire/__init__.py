"""A batch becomes bytes, and bytes reach one server."""
