"""Train, validation and test by a stable hash of a block's machine code.

A block is in the same part for every source, in every data set and whatever else is imported with it.
"""

from __future__ import annotations

import hashlib

from ops_common.errors import ConfigError

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
SPLITS = (TRAIN, VALIDATION, TEST)

NUM_BUCKETS = 100


def bucket_of(machine_code: bytes) -> int:
    """Puts a block into one of 100 buckets: the first 32 bits of the SHA-256 of its lower-case hex, modulo 100.

    Args:
        machine_code: The block.

    Returns:
        The bucket, 0 to 99.
    """
    digest = hashlib.sha256(machine_code.hex().encode("ascii")).digest()
    return int.from_bytes(digest[:4], "big") % NUM_BUCKETS


def split_of(bucket: int, validation_percent: int = 10, test_percent: int = 10) -> str:
    """Names the part that a bucket belongs to: the last buckets are for the test, those before them for validation.

    Args:
        bucket: 0 to 99.
        validation_percent: How many buckets are for validation; by default 80 to 89.
        test_percent: How many buckets are for the test; by default 90 to 99.

    Returns:
        `train`, `validation` or `test`.
    """
    if bucket >= NUM_BUCKETS - test_percent:
        return TEST
    return VALIDATION if bucket >= NUM_BUCKETS - test_percent - validation_percent else TRAIN


def split_file_name(split: str) -> str:
    """Names the file of a part of a data set."""
    return f"{split}.tfrecord"


def check_percentages(validation_percent: int, test_percent: int) -> None:
    """Checks that there is something left to train on.

    Raises:
        ConfigError: A percentage is negative, or together they take everything.
    """
    if min(validation_percent, test_percent) < 0 or validation_percent + test_percent >= 100:
        raise ConfigError(
            f"validation_percent = {validation_percent} and test_percent = {test_percent} leave nothing to train on",
            "both must be 0 or more, and their sum below 100",
        )
