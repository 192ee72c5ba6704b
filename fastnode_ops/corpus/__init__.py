"""The Python files that are learned from: content-addressed, without duplicates, split by hash."""
