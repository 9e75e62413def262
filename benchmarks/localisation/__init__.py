"""Where windows lie against where objects are."""
