"""Names of sample files: which steps of which session are in it (specification 20.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ops_common.errors import DataError

FILE_SUFFIX = ".samples"
INDEX_SUFFIX = ".idx"
MAX_STEPS = 10**9
"""Steps have nine digits."""
MAX_BATCHES = 100_000
"""Of one file: its index is read as a whole."""

_PATTERN = re.compile(r"([0-9]{9})-([1-9][0-9]{0,5})-(0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, order=True)
class SampleFileName:
    """What a file's name says.

    Args:
        first_step: The step of its first batch, from 0.
        num_batches: How many steps it holds, from 1.
        seed: Seed of the session that they were drawn in.

    Raises:
        DataError: A number is out of its range.
    """

    first_step: int
    num_batches: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_batches <= MAX_BATCHES:
            raise DataError(f"a sample file has 1 to {MAX_BATCHES:,} batches, not {self.num_batches:,}")
        if not 0 <= self.first_step <= MAX_STEPS - self.num_batches:
            raise DataError(
                f"a sample file has steps below {MAX_STEPS:,}, not {self.num_batches:,} from {self.first_step:,} on"
            )
        if not 0 <= self.seed < 1 << 63:
            raise DataError(f"the seed of a sample file is from 0 to 2^63 - 1, not {self.seed}")

    @property
    def stem(self) -> str:
        """What both names have in common."""
        return f"{self.first_step:09d}-{self.num_batches}-{self.seed}"

    @property
    def file_name(self) -> str:
        """The name of the file with the batches."""
        return self.stem + FILE_SUFFIX

    @property
    def index_name(self) -> str:
        """The name of the file beside it that is written last."""
        return self.stem + INDEX_SUFFIX

    @property
    def end_step(self) -> int:
        """The step after its last one."""
        return self.first_step + self.num_batches


def parse_name(text: str) -> SampleFileName:
    """Read the name of a sample file, without a folder.

    Raises:
        DataError: It is no such name.
    """
    stem = text.removesuffix(FILE_SUFFIX)
    match = _PATTERN.fullmatch(stem) if stem != text else None
    if match is None:
        raise DataError(
            f"{text!r} is not the name of a sample file",
            f"it has the form <first step, 9 digits>-<number of batches>-<seed>{FILE_SUFFIX}",
        )
    first_step, num_batches, seed = map(int, match.groups())
    return SampleFileName(first_step, num_batches, seed)
