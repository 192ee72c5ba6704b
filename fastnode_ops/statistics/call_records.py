"""The calls of one file: which function, which arguments, of which types (specification 3.5)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import xxhash

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.calls import is_keyword, keyword_of
from fastnode_ops.analysis.nodes import Node, is_expression
from fastnode_ops.analysis.symbols_at import symbols_at
from fastnode_ops.analysis.values import Value, ValueKind
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter, ParameterKind, SymbolKind

MAX_CALLS_PER_FILE = 5
MAX_ARGUMENTS = 64
MAX_EXAMPLE_CHARACTERS = 60

_BAD = frozenset(("BadExpr", "BadStmt"))
_TYPE_OF = {
    ValueKind.MODULE: "types.ModuleType",
    ValueKind.TYPE: "builtins.type",
    ValueKind.FUNCTION: "types.FunctionType",
}
_RECEIVERS = frozenset(("self", "cls"))
_UNBOUND = "builtins.object.__init__"


@dataclass(frozen=True, slots=True)
class ArgumentRecord:
    """One argument of a call.

    Args:
        keyword: Its keyword; "" when it is passed by position.
        types: Canonical paths of the types it may have, sorted; those of the file itself are left out.
        text: Its source text; "" when that is long.
    """

    keyword: str
    types: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call of a function that the symbol store knows.

    Args:
        function: Canonical path; that of `__init__` for a class.
        priority: A pseudo-random number of 64 bits that depends on the file and the place only. The calls of least
            priority are a uniform sample, whatever the order in which they are seen.
        arguments: Those by position first.
    """

    function: str
    priority: int
    arguments: tuple[ArgumentRecord, ...]


@dataclass(slots=True)
class FileCalls:
    """The calls of one file.

    Args:
        calls: At most five per function, sorted by function and priority.
        keywords: How often each keyword stands in calls of each function; of all calls, also starred ones.
        dropped: Calls that were left out, by reason.
    """

    calls: list[CallRecord] = field(default_factory=list)
    keywords: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def find_calls(analysis: Analysis, file_id: str) -> FileCalls:
    """Return the calls of a file that learn something about functions.

    Left out are calls with errors in them or around them, calls with a positional argument after one by keyword, calls
    that contradict the function's parameters, calls with `*x` or `**x`, which have no shape, and calls of a method
    through its class (`Thread.__init__(self, ...)`), whose first argument is the receiver.
    """
    found = FileCalls()
    by_function: dict[str, list[CallRecord]] = defaultdict(list)
    broken = _broken_nodes(analysis)
    for node in analysis.tree.nodes:
        if node.kind == "CallExpr" and is_expression(node.parts["function"]):
            for function in _functions(analysis, node):
                reason = "syntax_error" if node.index in broken else _misuse(analysis, function, node)
                if reason != "starred" and reason:
                    found.dropped[reason] += 1
                    continue
                found.keywords.update((function, word) for word in map(keyword_of, node.parts["arguments"]) if word)
                if reason:
                    found.dropped[reason] += 1
                else:
                    key = f"{file_id}:{node.start}:{node.end}:{function}"
                    record = CallRecord(function, xxhash.xxh3_64_intdigest(key.encode()), _arguments(analysis, node))
                    by_function[function].append(record)
    for function in sorted(by_function):
        records = sorted(by_function[function], key=lambda record: record.priority)
        found.calls += records[:MAX_CALLS_PER_FILE]
        found.dropped["more_per_file"] += len(records[MAX_CALLS_PER_FILE:])
    found.dropped = +found.dropped
    return found


def _broken_nodes(analysis: Analysis) -> set[int]:
    """Return the numbers of all nodes with an error in them or around them; calls that are not closed are errors."""
    broken: set[int] = set()
    for node in analysis.tree.nodes:
        is_open = node.kind == "CallExpr" and (
            node.parts["right_paren"] is None or node.parts["right_paren"].end == node.parts["right_paren"].start
        )
        if node.kind in _BAD or is_open:
            above = node.parent
            while above is not None and above.index not in broken:
                broken.add(above.index)
                above = above.parent
            broken.update(below.index for below in node.walk())
    return broken


def _functions(analysis: Analysis, call: Node) -> Iterator[str]:
    """Yield the canonical paths of the functions that a call may be of, sorted, each once."""
    canonical = {occurrence.canonical for occurrence in symbols_at(analysis, call.parts["function"])}
    functions = {function for path in canonical if (function := called_function(analysis.symbols, path))}
    yield from sorted(functions)


def called_function(symbols: SymbolStore, path: str) -> str:
    """Return the function that a call of a symbol is credited to: for a class its `__init__`; "" without one."""
    symbol = symbols.find(path)
    if symbol is None:
        return ""
    if symbol.kind is SymbolKind.FUNCTION:
        return symbol.canonical
    if symbol.kind is SymbolKind.TYPE:
        constructor = symbols.constructor(symbol.canonical)
        if constructor is not None and constructor.path != _UNBOUND:
            return constructor.path
    return ""


def _misuse(analysis: Analysis, function: str, call: Node) -> str:
    """Return why a call says nothing about a function's calls; "" when it does."""
    arguments = call.parts["arguments"]
    if len(arguments) > MAX_ARGUMENTS:
        return "too_many_arguments"
    if any(argument.parts["star"] for argument in arguments):
        return "starred"
    keywords = [keyword_of(argument) for argument in arguments if is_keyword(argument)]
    num_positional = len(arguments) - len(keywords)
    if any(is_keyword(argument) for argument in arguments[:num_positional]):
        return "positional_after_keyword"
    if _passes_receiver(analysis, call):
        return "explicit_receiver"
    parameters = analysis.symbols.parameters(function)
    if parameters is not None and contradicts(parameters, num_positional, keywords):
        return "contradicts_parameters"
    return ""


def _passes_receiver(analysis: Analysis, call: Node) -> bool:
    """Say whether a method is called through its class with `self` or `cls` as its first argument."""
    function, arguments = call.parts["function"], call.parts["arguments"]
    if function.kind != "AttributeExpr" or not arguments or is_keyword(arguments[0]):
        return False
    if arguments[0].parts["value"].text not in _RECEIVERS:
        return False
    return any(value.kind is ValueKind.TYPE for value in analysis.values(function.parts["value"]))


def contradicts(parameters: Sequence[Parameter], num_positional: int, keywords: Sequence[str]) -> bool:
    """Say whether a call passes more than a function takes, or something twice.

    What it lacks is no contradiction: another overload may do without it.
    """
    kinds = {parameter.kind for parameter in parameters}
    by_position = positional_names(parameters)
    if num_positional > len(by_position) and ParameterKind.VARARG not in kinds:
        return True
    if len(set(keywords)) < len(keywords):
        return True
    by_keyword = {p.name for p in parameters if p.kind in (ParameterKind.EITHER, ParameterKind.KEYWORD)}
    taken = {p.name for p in parameters if p.kind is ParameterKind.EITHER} & set(by_position[:num_positional])
    if taken & set(keywords):
        return True
    return ParameterKind.KWARG not in kinds and not set(keywords) <= by_keyword


def positional_names(parameters: Sequence[Parameter]) -> list[str]:
    """Return the names of the parameters that may be passed by position, in order."""
    return [p.name for p in parameters if p.kind in (ParameterKind.POSITIONAL, ParameterKind.EITHER)]


def _arguments(analysis: Analysis, call: Node) -> tuple[ArgumentRecord, ...]:
    return tuple(
        ArgumentRecord(
            keyword_of(argument),
            tuple(sorted({path for value in analysis.values(argument.parts["value"]) if (path := _type(value))})),
            _example(analysis.tree.text(argument.parts["value"])),
        )
        for argument in call.parts["arguments"]
    )


def _type(value: Value) -> str:
    if value.kind is ValueKind.INSTANCE:
        return "" if value.is_local else value.canonical
    return _TYPE_OF.get(value.kind, "")


def _example(text: str) -> str:
    return text if len(text) <= MAX_EXAMPLE_CHARACTERS and "\n" not in text else ""
