"""How long a selection takes, and of what size."""
