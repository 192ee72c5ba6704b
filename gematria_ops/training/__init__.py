"""Losses, optimisers and the training run."""
