"""What a selection leaves on disk."""
