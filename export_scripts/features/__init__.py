"""Which block and timestep describe images best: candidates are compared on labelled images."""
