"""Images of three worlds: scenes with true boxes of garments and of drawings, and solar cells."""
