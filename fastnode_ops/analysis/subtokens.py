"""Splitting of names into the words they are made of (specification, Appendix B.1)."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise

from fastnode_ops.analysis.markers import SPECIAL


@lru_cache(maxsize=65536)
def _split(text: str) -> tuple[str, ...]:
    parts: list[str] = []
    part = text[:1].replace("_", "")
    for left, right in pairwise(text):
        if right == "_":
            parts.append(part)
            part = ""
            continue
        boundary = _boundary(left, right)
        if boundary is None:
            return (text,)
        if boundary:
            parts.append(part)
            part = ""
        part += right
    parts.append(part)
    return tuple(part.lower() for part in parts if part) or (text,)


def _boundary(left: str, right: str) -> bool | None:
    """Say whether a part ends between two neighbours; None: no rule applies. `right` is no underscore."""
    if left == "_":
        return True
    if left.isdigit() or right.isdigit():
        return not (left.isdigit() and right.isdigit())
    if left.isascii() and right.isascii():
        latin = (left.isalpha(), right.isalpha())
    else:
        latin = (_is_latin(left), _is_latin(right))
    if latin == (True, True):
        return _boundary_in_latin(left, right)
    if not (left.isalpha() or latin[0]) or not (right.isalpha() or latin[1]):
        return None
    return latin[0] != latin[1]


def _boundary_in_latin(left: str, right: str) -> bool | None:
    if left.isupper() and (right.isupper() or right.islower()):
        return False
    if left.islower() and (right.isupper() or right.islower()):
        return right.isupper()
    return None


@lru_cache(maxsize=4096)
def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith("LATIN ")


def split_name(text: str) -> list[str]:
    """Return the parts of a name, in order and in lower case.

    Special tokens and names of underscores only are returned as they are, and so is a name with neighbours that no
    rule is for. The empty name has no parts.

    Args:
        text: An identifier, or a special token.
    """
    if not text:
        return []
    if text in SPECIAL:
        return [text]
    return list(_split(text))
