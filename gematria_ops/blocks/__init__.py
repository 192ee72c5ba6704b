"""Basic blocks, their canonical form, tokens and vocabulary."""
