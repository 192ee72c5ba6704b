"""A name that a module, a class or a function is known by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SymbolKind(StrEnum):
    """What a symbol names."""

    MODULE = "module"
    TYPE = "type"
    FUNCTION = "function"  # also methods
    DESCRIPTOR = "descriptor"  # properties: reading one gives `type_path`
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol.

    Args:
        path: Dotted path as asked for, e.g. `os.path.join`.
        canonical: Path of the definition after re-exports and aliases, e.g. `posixpath.join`.
        kind: What it names.
        type_path: For objects and descriptors, canonical path of the type of the value; empty when unknown.
        returns: For functions, canonical paths of the types of what is returned; empty when unknown.
        elements: For objects, descriptors and functions, canonical paths of the element types of an iterable
            value (`list[str]` -> `builtins.str`); empty when unknown.
    """

    path: str
    canonical: str
    kind: SymbolKind
    type_path: str = ""
    returns: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()


class ParameterKind(StrEnum):
    """How an argument may be passed."""

    POSITIONAL = "positional"  # by position only
    EITHER = "either"
    KEYWORD = "keyword"  # by keyword only
    VARARG = "vararg"  # *args
    KWARG = "kwarg"  # **kwargs


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function; the receiver of a method (`self`, `cls`) is not listed.

    Args:
        name: Its name, without stars.
        kind: How it is passed.
        default: Source text of its default value; None: it is required.
    """

    name: str
    kind: ParameterKind
    default: str | None = None
