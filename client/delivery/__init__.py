"""Rows become batches, and batches become answers, whichever server gives them."""
