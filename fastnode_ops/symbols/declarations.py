"""What one file declares, before names are followed into other files.

Extraction fills these records file by file (so it can be spread over processes and kept between builds), linking joins
them. They are plain data: JSON and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson


class DeclarationKind(StrEnum):
    """What a declaration introduces."""

    MODULE = "module"
    CLASS = "class"
    FUNCTION = "function"
    OBJECT = "object"
    ALIAS = "alias"  # another name for what `ref` names: from the file's own names, or (EXACT) a full path
    TYPE_VARIABLE = "typevar"
    TYPE_ALIAS = "typealias"


class RefForm(StrEnum):
    """How a type is written down."""

    NAME = "name"  # an instance of the class of that name, with type arguments
    UNION = "union"  # any of the arguments
    CALL = "call"  # the result of calling `name`
    VALUE = "value"  # whatever `name` stands for
    EXACT = "is"  # an instance of the class with the full path `name`
    LITERAL = "literal"  # a constant of the class with the full path `name`; its text is the name of the one argument
    RECEIVER = "self"  # an instance of the class that is looked at
    UNKNOWN = "?"


@dataclass(slots=True)
class Ref:
    """A type as one file writes it; names are still those of the file."""

    form: RefForm
    name: str = ""
    arguments: list[Ref] = field(default_factory=list)


UNKNOWN = Ref(RefForm.UNKNOWN)


@dataclass(slots=True)
class DeclaredParameter:
    """A parameter of a function, with its annotation."""

    name: str
    kind: str
    default: str | None
    ref: Ref


@dataclass(slots=True)
class Signature:
    """One way to call a function: an overload, or its only signature."""

    parameters: list[DeclaredParameter]
    returns: Ref


@dataclass(slots=True)
class Declaration:
    """A module, class, function, variable or alias.

    Args:
        kind: Which.
        ref: Type of a variable, target of an alias, definition of a type alias, limit of a type variable.
        members: By name, for modules and classes.
        bases: Of a class.
        signatures: Of a function; several when it is overloaded.
        is_descriptor: A function that is read like a variable (`property`).
        is_overloaded: A function of which further overloads may follow.
        is_stub: A module that is described by a stub file.
        is_exported: Whether completion offers the name as a member.
        is_assigned: A variable of a class body that has a value (so it is a member of an enumeration).
        stars: Modules whose names a module imports with `*`.
        exports: A module's `__all__`, None when it has none that can be read.
    """

    kind: DeclarationKind
    ref: Ref = field(default_factory=lambda: UNKNOWN)
    members: dict[str, Declaration] = field(default_factory=dict)
    bases: list[Ref] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    is_descriptor: bool = False
    is_overloaded: bool = False
    is_stub: bool = False
    is_exported: bool = True
    is_assigned: bool = False
    stars: list[str] = field(default_factory=list)
    exports: list[str] | None = None


def to_json(modules: dict[str, Declaration]) -> bytes:
    """Return modules by dotted name as JSON; equal modules give equal bytes."""
    return orjson.dumps({name: _pack(module) for name, module in modules.items()}, option=orjson.OPT_SORT_KEYS)


def from_json(content: bytes | str) -> dict[str, Declaration]:
    """Return what `to_json` was given.

    Raises:
        ValueError, KeyError, TypeError, IndexError: The content is not of that form.
    """
    return {name: _unpack(value) for name, value in orjson.loads(content).items()}


def _pack(declaration: Declaration) -> list[Any]:
    """Return a declaration as its kind and what it has of the rest; most have little."""
    rest: dict[str, Any] = {}
    if declaration.ref is not UNKNOWN:
        rest["ref"] = _pack_ref(declaration.ref)
    if declaration.members:
        rest["members"] = {name: _pack(member) for name, member in declaration.members.items()}
    if declaration.bases:
        rest["bases"] = [_pack_ref(base) for base in declaration.bases]
    if declaration.signatures:
        rest["signatures"] = [_pack_signature(signature) for signature in declaration.signatures]
    if declaration.stars:
        rest["stars"] = declaration.stars
    if declaration.exports is not None:
        rest["exports"] = declaration.exports
    flags = [name for name in _FLAGS if getattr(declaration, name) != (name == "is_exported")]
    if flags:
        rest["flags"] = flags
    return [declaration.kind, rest] if rest else [declaration.kind]


_FLAGS = ("is_descriptor", "is_overloaded", "is_stub", "is_exported", "is_assigned")


def _unpack(value: list[Any]) -> Declaration:
    declaration = Declaration(DeclarationKind(value[0]))
    rest: dict[str, Any] = value[1] if len(value) > 1 else {}
    if "ref" in rest:
        declaration.ref = _unpack_ref(rest["ref"])
    if "members" in rest:
        declaration.members = {name: _unpack(member) for name, member in rest["members"].items()}
    if "bases" in rest:
        declaration.bases = [_unpack_ref(base) for base in rest["bases"]]
    if "signatures" in rest:
        declaration.signatures = [_unpack_signature(signature) for signature in rest["signatures"]]
    declaration.stars = rest.get("stars", declaration.stars)
    declaration.exports = rest.get("exports")
    for flag in rest.get("flags", ()):
        setattr(declaration, flag, flag != "is_exported")
    return declaration


def _pack_ref(ref: Ref) -> list[Any]:
    return [ref.form, ref.name, *(_pack_ref(argument) for argument in ref.arguments)]


def _unpack_ref(value: list[Any]) -> Ref:
    if value[0] == RefForm.UNKNOWN:
        return UNKNOWN
    return Ref(RefForm(value[0]), value[1], [_unpack_ref(argument) for argument in value[2:]])


def _pack_signature(signature: Signature) -> list[Any]:
    return [
        _pack_ref(signature.returns),
        *([p.name, p.kind, p.default, _pack_ref(p.ref)] for p in signature.parameters),
    ]


def _unpack_signature(value: list[Any]) -> Signature:
    return Signature([DeclaredParameter(p[0], p[1], p[2], _unpack_ref(p[3])) for p in value[1:]], _unpack_ref(value[0]))
