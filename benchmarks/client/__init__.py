"""Our connection against tritonclient's own ways."""
