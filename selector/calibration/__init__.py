"""Some draws are worth more than others: which are taken first, and how many are enough."""
