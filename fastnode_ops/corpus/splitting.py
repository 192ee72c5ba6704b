"""Which files are trained on and which are held out (specification 20.2)."""

from __future__ import annotations

from collections.abc import Collection

from fastnode_ops.config import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_PERCENT_VALIDATION = 5
_PERCENT_TEST = 5


def split_of(file_id: str, package: str, held_out: Collection[str] = ()) -> Split:
    """Return the split of a file: by its content alone, so it stays where it is when the corpus grows.

    Args:
        file_id: SHA-256 of its content in hexadecimal.
        package: Its package.
        held_out: Packages of which every file is a test file.
    """
    if package in held_out:
        return "test"
    # other digits than those that the files are ordered and cut off by (`max_files`)
    hundredth = int(file_id[-15:], 16) % 100
    if hundredth < _PERCENT_TEST:
        return "test"
    return "validation" if hundredth < _PERCENT_TEST + _PERCENT_VALIDATION else "train"
