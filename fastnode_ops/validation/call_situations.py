"""Calls that were really written, and what the model is asked about them (specification 14.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.nodes import Node, is_statement
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.config import Split
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter, ParameterKind
from fastnode_ops.validation.held_out import Files, walk_files
from fastnode_ops.validation.situations import MAX_TRIED_PER_FILE, permuted

MAX_PER_FILE = 5

_CALLED = frozenset({ValueKind.FUNCTION, ValueKind.TYPE})
_BY_POSITION = frozenset({ParameterKind.POSITIONAL, ParameterKind.EITHER})


@dataclass(frozen=True, slots=True)
class CallArgument:
    """One argument of a call.

    Args:
        keyword: Its keyword; empty for one that is passed by position.
        variable: The variable that is passed; empty for anything else, which is a placeholder.
    """

    keyword: str
    variable: str


@dataclass(frozen=True, slots=True)
class CallSituation:
    """A call to complete.

    Args:
        file_id: The file that it is from.
        munged: The buffer without the arguments and the rest of the line; the line break and what follows stay.
        cursor: BYTE offset just after the left parenthesis.
        function: Symbol of what is called.
        arguments: What was really passed.
    """

    file_id: str
    munged: bytes
    cursor: int
    function: str
    arguments: tuple[CallArgument, ...]

    @property
    def is_concrete(self) -> bool:
        """Whether every value is a variable."""
        return all(argument.variable for argument in self.arguments)


def walk_calls(
    files: Files, symbols: SymbolStore, split: Split, dropped: Counter[str], max_per_file: int = MAX_PER_FILE
) -> Iterator[CallSituation]:
    """Yield the calls of a split, file by file; counts what was left out, by reason."""
    for file_id, analysis in walk_files(files, symbols, split, dropped):
        yield from calls_of(file_id, analysis, dropped, max_per_file)


def calls_of(
    file_id: str, analysis: Analysis, dropped: Counter[str], max_per_file: int = MAX_PER_FILE
) -> list[CallSituation]:
    """Choose calls of one file: the first of a permutation that the content decides, among those that can be used.

    Such a call is a direct part of a statement, stands on one line, and calls something that the file does not define.
    """
    calls = [node for node in analysis.tree.nodes if node.kind == "CallExpr" and _is_whole_line(node, analysis.source)]
    found: list[CallSituation] = []
    for node in permuted(calls, analysis.source)[:MAX_TRIED_PER_FILE]:
        if len(found) == max_per_file:
            break
        called = [v for v in analysis.symbols_of(node.parts["function"]) if v.kind in _CALLED]
        if not called:
            dropped["function is no symbol from outside of the file"] += 1
            continue
        if any(argument.parts["star"] for argument in node.parts["arguments"]):
            dropped["arguments with a star"] += 1
            continue
        arguments = tuple(_argument(argument, analysis) for argument in node.parts["arguments"])
        munged, cursor = munge_call(node, analysis.source)
        found.append(CallSituation(file_id, munged, cursor, called[0].path, arguments))
    return found


def munge_call(node: Node, source: bytes) -> tuple[bytes, int]:
    """Return a buffer without a call's arguments and the rest of its line, and the byte after its left parenthesis."""
    cursor = node.parts["left_paren"].end
    newline = source.find(b"\n", cursor)
    rest = b"" if newline < 0 else source[newline:]
    return source[:cursor] + b")" + rest, cursor


def by_parameter(arguments: tuple[CallArgument, ...], parameters: list[Parameter] | None) -> dict[str, str]:
    """Return what is passed by the name of its parameter; "" stands for a placeholder.

    Positional arguments take the names of the function's parameters; surplus ones, and those of an unknown function,
    are called `vararg_<i>`.
    """
    names = [one.name for one in parameters or () if one.kind in _BY_POSITION]
    passed = {}
    for index, argument in enumerate(arguments):
        name = argument.keyword or (names[index] if index < len(names) else f"vararg_{index}")
        passed[name] = argument.variable
    return passed


def _is_whole_line(node: Node, source: bytes) -> bool:
    is_direct = node.parent is not None and is_statement(node.parent)
    is_closed = node.parts["right_paren"] is not None
    return is_direct and is_closed and b"\n" not in source[node.start : node.end]


def _argument(node: Node, analysis: Analysis) -> CallArgument:
    name, value = node.parts["name"], node.parts["value"]
    is_variable = value.kind == "NameExpr" and analysis.scopes.variable_of(value) is not None
    return CallArgument("" if name is None else name.text, value.text if is_variable else "")
