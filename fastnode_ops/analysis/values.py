"""What an expression may be: the values that the type inference finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ValueKind(IntEnum):
    """Kinds of values; the order is that of sorted unions."""

    MODULE = 0
    TYPE = 1
    FUNCTION = 2
    OBJECT = 3  # a module's variable of unknown type
    INSTANCE = 4  # an object of the type `path`
    RETURN = 5  # what the function `path` returns, when that is not known


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One member of an expression's union.

    Args:
        kind: What it is.
        path: Dotted path as written in this file, e.g. `os.path.join`; for an instance its type's, for an unknown
            return value its function's. For what the file defines itself: the qualified name in the file.
        canonical: Where the object is really defined, e.g. `posixpath.join`; equals `path` for local values.
        is_local: Whether this file defines it (the type, for an instance). Local values are no symbols.
    """

    kind: ValueKind
    path: str
    canonical: str
    is_local: bool = False

    def type_string(self) -> str:
        """Return the string that stands for it among a node's types (specification 6.4); empty for a local value."""
        if self.is_local or self.kind is ValueKind.OBJECT:
            return ""
        tail = {ValueKind.INSTANCE: ".INSTANCE", ValueKind.RETURN: ".RETURN"}.get(self.kind, "")
        return self.canonical + tail


Values = tuple[Value, ...]
"""The union of an expression: sorted, without repetitions, at most `MAX_UNION` members; empty when unknown."""

MAX_UNION = 8
