"""Pages of the documentation, and the shell completion, that are written from the code.

`python -m ops_platform.reference` writes all of them; with `--check` it only says which are out of date.
"""
