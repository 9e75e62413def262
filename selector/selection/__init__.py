"""From features and typicality to one order per class and its first N. Pure: arrays in, arrays out."""
