"""Data sets of basic blocks: import, merge, split, select, read."""
