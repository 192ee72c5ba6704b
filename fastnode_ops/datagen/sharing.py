"""Which host makes which ranges of steps: nothing twice, nothing left out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fastnode_ops.datagen.ranges import share_out, steps_of
from fastnode_ops.sample_files.names import parse_name
from ops_common.errors import ConfigError

_SHARE = re.compile(r"([1-9][0-9]{0,3})-of-([1-9][0-9]{0,3})")


def shares(
    ranges: Sequence[int], finished: Collection[int], made: Mapping[str, Collection[int]]
) -> dict[str, list[int]]:
    """Share out what nobody has made.

    Args:
        ranges: Numbers of all ranges.
        finished: Those that are here already, or were and have been used.
        made: Those that each living host has made. What a dead one had, but nobody fetched, is made again.

    Returns:
        The ranges of each living host.
    """
    had = set(finished).union(*made.values())
    left = [number for number in ranges if number not in had]
    return share_out(left, list(made)) if made else {}


def made_ranges(ledger: Mapping[str, Any], unfinished: Collection[str], data_steps: int, size: int) -> set[int]:
    """Return the ranges that a host has made, by its ledger.

    Args:
        ledger: What `ledger.py` wrote there; empty when there is none.
        unfinished: Names of its sample files without an index: it was killed after it had entered them.
        data_steps: How many steps are wanted.
        size: Steps of a range.
    """
    then = int(ledger.get("data_steps", data_steps))
    torn = {parse_name(name).first_step // size for name in unfinished}
    as_long = [k for k in ledger.get("ranges", ()) if steps_of(k, data_steps, size) == steps_of(k, then, size)]
    return set(as_long) - torn


def ranges_of_share(numbers: Sequence[int], share: str) -> list[int]:
    """Return the ranges of a share by its name; all shares together have each range once.

    Raises:
        ConfigError: It is no such name.
    """
    match = _SHARE.fullmatch(share)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"share: {share[:100]!r} is no share", "give 2-of-3 for the second of three")
    return share_out(numbers, range(1, count + 1))[number]
