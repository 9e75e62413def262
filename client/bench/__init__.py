"""`selector bench`: latency and throughput of a model, or of the whole scoring path, with numbers that can be believed."""
