"""The split by hash: stable, and the one that the data's README describes."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from gematria_ops.data.splitting import bucket_of, check_percentages, split_of
from ops_common.errors import ConfigError

SAMPLES = Path(__file__).parents[2] / "data" / "bhive"


def test_buckets_by_hand():
    # sha256("90") begins with 69f59c27, sha256("") with e3b0c442.
    assert bucket_of(b"\x90") == 0x69F59C27 % 100
    assert bucket_of(b"") == 0xE3B0C442 % 100


def test_default_parts():
    parts = Counter(split_of(bucket) for bucket in range(100))
    assert parts == {"train": 80, "validation": 10, "test": 10}
    assert [split_of(bucket) for bucket in (0, 79, 80, 89, 90, 99)] == [
        "train", "train", "validation", "validation", "test", "test"
    ]  # fmt: skip


def test_other_parts():
    assert {split_of(bucket, 0, 0) for bucket in range(100)} == {"train"}
    assert Counter(split_of(bucket, 1, 98) for bucket in range(100)) == {"train": 1, "validation": 1, "test": 98}


def test_the_samples_are_split_as_their_readme_says():
    with (SAMPLES / "sample_hsw.csv").open(newline="") as file:
        parts = Counter(split_of(bucket_of(bytes.fromhex(code))) for code, _ in csv.reader(file))
    assert parts == {"train": 1762, "validation": 238}


@pytest.mark.parametrize("percentages", [(-1, 10), (10, -1), (50, 50), (100, 0), (0, 101)])
def test_bad_percentages(percentages):
    with pytest.raises(ConfigError, match=f"validation_percent = {percentages[0]} and test_percent"):
        check_percentages(*percentages)


@pytest.mark.parametrize("percentages", [(0, 0), (99, 0), (0, 99), (10, 10)])
def test_good_percentages(percentages):
    check_percentages(*percentages)
