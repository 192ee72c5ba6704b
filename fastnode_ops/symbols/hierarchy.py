"""The order in which the bases of a class are searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

OBJECT = "builtins.object"
_MAX_DEPTH = 64


def linearize(path: str, bases_of: Callable[[str], Sequence[str]]) -> list[str]:
    """Return a class and all its bases in the order of Python's method resolution (C3).

    A hierarchy that Python would refuse (a stub may hold one; a circle, too) is searched depth first instead. `object`
    is last and always there.

    Args:
        path: The class.
        bases_of: Gives the direct bases of a class.
    """
    order = _c3(path, bases_of, 0) or _depth_first(path, bases_of)
    return [name for name in order if name != OBJECT] + [OBJECT]


def _c3(path: str, bases_of: Callable[[str], Sequence[str]], depth: int) -> list[str] | None:
    if depth > _MAX_DEPTH:
        return None
    bases = [base for base in bases_of(path) if base != path]
    if not bases:
        return [path]
    waiting: list[list[str]] = []
    for base in bases:
        order = _c3(base, bases_of, depth + 1)
        if order is None:
            return None
        waiting.append(order)
    waiting.append(list(bases))
    merged = [path]
    while waiting := [order for order in waiting if order]:
        head = next((o[0] for o in waiting if not any(o[0] in other[1:] for other in waiting)), None)
        if head is None:
            return None
        merged.append(head)
        waiting = [order[1:] if order[0] == head else order for order in waiting]
    return merged


def _depth_first(path: str, bases_of: Callable[[str], Sequence[str]]) -> list[str]:
    found: dict[str, None] = {}
    waiting = [path]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting.extend(reversed(bases_of(name)))
    return list(found)
