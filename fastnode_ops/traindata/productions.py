"""The flat grammar: ids, what they expand to, and their rows (specification 4.3, 4.4, 4.7).

The choice among expansion tasks (4.6) is left out: nothing trains it, so its rows would be noise (defect D8).
"""

from __future__ import annotations

from collections.abc import Iterable

from fastnode_ops.samples.metainfo import Production, ProductionIndex, production_id
from ops_common.errors import DataError


class Grammar:
    """Collects productions; the result does not depend on the order in which they are added."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._children: dict[int, list[int]] = {}
        self._parents: dict[int, str] = {}

    def add(self, parent: str, children: Iterable[str]) -> None:
        """Add what an id string expands to; nothing is added without children.

        Raises:
            DataError: The parent was added before, a child has another parent, or two texts have the same id.
        """
        ids = sorted(self._id(child) for child in dict.fromkeys(children))
        if not ids:
            return
        number = self._id(parent)
        if number in self._children:
            raise DataError(f"production {parent!r} is there twice", "report it: no list of packages may lead to this")
        for child in ids:
            other = self._parents.setdefault(child, parent)
            if other != parent:
                raise DataError(
                    f"{self._texts[child]!r} is a child of both {other!r} and {parent!r}",
                    "report it: no list of packages may lead to this",
                )
        self._children[number] = ids

    def _id(self, text: str) -> int:
        number = production_id(text)
        other = self._texts.setdefault(number, text)
        if other != text:
            raise DataError(f"{other!r} and {text!r} have the same id {number}", "leave one of their packages out")
        return number

    def index(self) -> ProductionIndex:
        """Return all productions, leaves too; rows are in ascending order of the ids."""
        ids = sorted(self._texts)
        return ProductionIndex(
            indices={str(number): row for row, number in enumerate(ids)},
            productions={str(number): Production(id=number, children=self._children.get(number, [])) for number in ids},
        )


def add_call_productions(grammar: Grammar, function: str, keywords: Iterable[str], arguments: Iterable[str]) -> None:
    """Add the productions of the three tasks about the next argument of a function.

    Args:
        grammar: Where to.
        function: Canonical path.
        keywords: Keywords to choose from.
        arguments: Names of its parameters.
    """
    grammar.add(f"choose_kwarg:{function}", (f"choose_kwarg:{function}:{keyword}" for keyword in keywords))
    prefix = f"choose_argtype:{function}"
    grammar.add(prefix, (f"{prefix}:{kind}" for kind in ("stop", "positional", "keyword")))
    prefix = f"choose_arg_placeholder:{function}"
    kinds = ("placeholder", "no_placeholder")
    grammar.add(prefix, (f"{prefix}:{argument}:{kind}" for argument in arguments for kind in kinds))
