"""A file that a source offers, or the reason why it is not offered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1_000_000
"""Larger files are left out (specification 3.2)."""

_LAYOUT_FOLDERS = frozenset(("src", "lib", "python"))
_RELEASE = re.compile(r".+-v?\d[\w.+]*$")


@dataclass(frozen=True, slots=True)
class Found:
    """One file.

    Args:
        origin: Where it comes from, e.g. "stdlib/json/decoder.py".
        package: The top-level package it belongs to.
        path: Where to read it.
        content: Its bytes, of a member of an archive.
        version: Size and time of the last change, to see whether it was examined before.
        reason: Why it is left out; "" when it is not.
    """

    origin: str
    package: str
    path: Path | None = None
    content: bytes | None = None
    version: tuple[int, int] = (0, 0)
    reason: str = ""


def package_of(parts: Sequence[str]) -> str:
    """Return the top-level package of a file from its path below the place where packages are.

    The folder of a release (`requests-2.31.0`) and of a source layout (`src`) are passed over.
    """
    rest = list(parts)
    if len(rest) > 1 and _RELEASE.match(rest[0]):
        rest.pop(0)
    if len(rest) > 1 and rest[0] in _LAYOUT_FOLDERS:
        rest.pop(0)
    name = rest[0] if rest else ""
    return name.removesuffix(".py").encode("utf-8", "backslashreplace").decode()
