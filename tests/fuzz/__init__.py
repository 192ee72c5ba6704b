"""Readers of files from outside against damaged files: see `targets.py`."""
