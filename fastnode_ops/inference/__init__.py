"""Completions of a buffer: the same graphs as in training, the exported model, a ranked list."""
