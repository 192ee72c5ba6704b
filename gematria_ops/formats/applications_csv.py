"""Which application a block was taken from: CSV files `<machine code in hex>,<application>`, read as a stream.

BHive's measured CSV files do not say it; its lists of blocks per application do, of which such a file is made
(docs/reproduction.md). A block may stand under several applications. Nothing is kept of a block that nobody asked for.
"""

from __future__ import annotations

import binascii
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gematria_ops.formats.bhive_csv import read_lines
from ops_common.errors import DataError

# More than any collection of programs has; a file with more names has something else in its second column.
MAX_APPLICATIONS = 200
MAX_NAME_CHARACTERS = 60


@dataclass(frozen=True)
class BlockApplications:
    """What a file says of some blocks.

    Attributes:
        names: The applications of the blocks asked for, sorted.
        of_block: For each block asked for, in their order, its applications; empty where the file has none.
        num_rows: Rows of the file.
        unusable: Rows that could not be used, by reason.
    """

    names: tuple[str, ...]
    of_block: Sequence[frozenset[str]]
    num_rows: int = 0
    unusable: dict[str, int] = field(default_factory=dict)


def read_applications(path: Path, machine_codes: Iterable[str]) -> BlockApplications:
    """Reads the applications of the given blocks.

    Args:
        path: The file, plain or compressed with gzip; further columns are not looked at.
        machine_codes: The blocks, as lower-case hex.

    Raises:
        DataError: The file cannot be read, names no block asked for, or holds too many names.
    """
    asked = list(machine_codes)
    found: dict[bytes, set[str]] = {bytes.fromhex(code): set() for code in asked if code}
    names: set[str] = set()
    unusable: Counter[str] = Counter()
    num_rows = 0
    for line in read_lines(path):
        num_rows += 1
        parsed = _parse(line)
        if isinstance(parsed, str):
            unusable[parsed] += 1
            continue
        machine_code, name = parsed
        if machine_code in found:
            found[machine_code].add(name)
            names.add(name)
            if len(names) > MAX_APPLICATIONS:
                raise DataError(
                    f"{path}, line {num_rows}: more than {MAX_APPLICATIONS} different applications",
                    "the second column has to be the name of the application",
                )
    if not names:
        why = ", ".join(f"{count:,d} {reason}" for reason, count in sorted(unusable.items()))
        raise DataError(
            f"{path}: none of its {num_rows:,d} rows names a block of the held-out part" + (f" ({why})" if why else ""),
            "a row is <machine code in hex>,<application>; check that the file belongs to this data set",
        )
    of_block = [frozenset(found[bytes.fromhex(code)]) if code else frozenset[str]() for code in asked]
    return BlockApplications(tuple(sorted(names)), of_block, num_rows, dict(unusable))


def _parse(line: bytes | None) -> tuple[bytes, str] | str:
    """Reads one line, None for one that is too long; gives the reason when it cannot be used."""
    if line is None:
        return "line too long"
    if not line.strip():
        return "blank line"
    code, comma, rest = line.rstrip(b"\r\n").partition(b",")
    if not comma:
        return "missing column"
    try:
        name = rest.partition(b",")[0].decode("utf-8").strip()
        machine_code = binascii.unhexlify(code)
    except UnicodeDecodeError:
        return "not UTF-8"
    except binascii.Error:
        return "not hex"
    if not machine_code:
        return "empty block"
    is_name = 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()
    return (machine_code, name) if is_name else "not a name"
