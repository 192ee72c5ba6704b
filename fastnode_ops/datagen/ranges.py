"""Ranges of steps: the pieces that the work is shared out in. Range k makes one sample file.

Of D steps in files of S, range k is the steps from k S up to, but without, min((k + 1) S, D).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from typing import TypeVar

from fastnode_ops.sample_files.names import MAX_BATCHES, MAX_STEPS
from ops_common.errors import ConfigError

MAX_RANGES = 1_000_000

_PART = re.compile(r"(0|[1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")

H = TypeVar("H")


def ranges(data_steps: int, samples_per_file: int) -> range:
    """Return the numbers of all ranges.

    Raises:
        ConfigError: A number is out of its limits, or there would be too many files.
    """
    if not 1 <= data_steps <= MAX_STEPS:
        raise ConfigError(f"data_steps must be from 1 to {MAX_STEPS:,}, not {data_steps:,}", "set DATA_STEPS")
    if not 1 <= samples_per_file <= MAX_BATCHES:
        raise ConfigError(
            f"samples_per_file must be from 1 to {MAX_BATCHES:,}, not {samples_per_file:,}", "set SAMPLES_PER_FILE"
        )
    count = -(-data_steps // samples_per_file)
    if count > MAX_RANGES:
        raise ConfigError(
            f"{data_steps:,} steps make {count:,} files of {samples_per_file:,}, which is more than {MAX_RANGES:,}",
            "set SAMPLES_PER_FILE higher",
        )
    return range(count)


def steps_of(number: int, data_steps: int, samples_per_file: int) -> range:
    """Return the steps of a range."""
    return range(number * samples_per_file, min((number + 1) * samples_per_file, data_steps))


def share_out(numbers: Sequence[int], hosts: Sequence[H]) -> dict[H, list[int]]:
    """Deal ranges to hosts in turn: host i of H gets those at i, i + H, ... So the early ones come first everywhere."""
    return {host: list(numbers[position :: len(hosts)]) for position, host in enumerate(hosts)}


def format_ranges(numbers: Collection[int]) -> str:
    """Write numbers of ranges in a short form: 0, 1, 2, 3, 7 and 9 as `0-3,7,9`. Their order is lost."""
    parts = []
    # numbers in a row differ from their positions by the same
    for _, group in itertools.groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
    return ",".join(parts)


def parse_ranges(text: str) -> list[int]:
    """Read what `format_ranges` writes.

    Raises:
        ConfigError: It is not of this form, does not ascend, or names too many ranges; the message names the part.
    """
    numbers: list[int] = []
    for part in text.split(",") if text else []:
        match = _PART.fullmatch(part)
        if match is None:
            raise _refused(part, "is neither a number nor a range of numbers")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first or (match[2] is not None and last == first):
            raise _refused(part, "does not ascend")
        if numbers and first <= numbers[-1]:
            raise _refused(part, f"comes after {numbers[-1]}")
        if last >= MAX_RANGES:
            raise _refused(part, f"is above {MAX_RANGES - 1:,}")
        numbers.extend(range(first, last + 1))
    return numbers


def _refused(part: str, what: str) -> ConfigError:
    return ConfigError(f"ranges: {part[:100]!r} {what}", "give ascending numbers such as 0-3,7,9")
