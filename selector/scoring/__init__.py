"""From pixels to scores: the plan, stage I, stage II and the order of work."""
