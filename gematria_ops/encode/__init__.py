"""Blocks to the arrays that models read."""
