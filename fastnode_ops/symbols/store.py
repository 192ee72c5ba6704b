"""Look-ups in the symbol store: paths, members, bases, parameters, types."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fastnode_ops.symbols.forms import (
    ITERATED,
    NONE,
    RECEIVER,
    STORE_FORMAT,
    TUPLE,
    Form,
    Forms,
    ParameterForm,
    SignatureForm,
    forms_from_json,
    join,
)
from fastnode_ops.symbols.hierarchy import linearize
from fastnode_ops.symbols.names import BUILTINS
from fastnode_ops.symbols.symbol import Parameter, ParameterKind, Symbol, SymbolKind
from ops_common.errors import ArtifactError

_MAX_CACHED = 200_000
_MAX_PARTS = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """What the store holds under a canonical path; see `LinkedSymbol`."""

    path: str
    kind: SymbolKind
    forms: Forms
    signatures: tuple[SignatureForm, ...]
    bases: Forms
    type_parameters: tuple[str, ...]
    children: dict[str, str]
    hidden: frozenset[str]


class SymbolStore:
    """The symbols of the standard library and of the packages it was built for; read only.

    Every process and thread may use it: each thread opens the file for itself, and anew after a fork. Rows are read
    when they are asked for first, and kept.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self.derived: dict[type, Any] = {}
        """What others compute from the store and share, by its type."""
        self._local = threading.local()
        self._entries: dict[str, Entry | None] = {}
        self._found: dict[str, Symbol | None] = {}
        self._orders: dict[str, tuple[str, ...]] = {}

    @classmethod
    def open(cls, path: Path) -> SymbolStore:
        """Opens a store.

        Raises:
            ArtifactError: The file is missing, is no symbol store, or one of another version of this program.
        """
        hint = "build the symbol store (again)"
        if not Path(path).is_file():
            raise ArtifactError(f"{path} does not exist", hint)
        try:
            with _connect(path) as connection:
                meta = dict(connection.execute("SELECT key, value FROM meta"))
            connection.close()
        except sqlite3.Error as error:
            raise ArtifactError(f"{path} is not a symbol store: {error}", hint) from error
        if meta.get("format") != STORE_FORMAT:
            raise ArtifactError(
                f"{path} is a symbol store of format {meta.get('format')!r}, not {STORE_FORMAT!r}", hint
            )
        return cls(Path(path), meta["digest"])

    def __reduce__(self) -> tuple[Any, ...]:
        return SymbolStore.open, (self.path,)

    def find(self, path: str) -> Symbol | None:
        """Return the symbol of a path as written; None if there is none.

        A builtin may be given by its bare name; its `path` is then the full one (`dict` gives `builtins.dict`).
        """
        try:
            return self._found[path]
        except KeyError:
            symbol = self._find(path)
            if len(self._found) < _MAX_CACHED:
                self._found[path] = symbol
            return symbol

    def child(self, path: str, name: str) -> Symbol | None:
        """Return the member of a module or type, also an inherited one; its `path` is the given one with the name."""
        return self.find(f"{path}.{name}")

    def children(self, path: str) -> list[str]:
        """Return the names of the members of a module or type, inherited ones included, sorted."""
        symbol = self.find(path)
        if symbol is None:
            return []
        names: set[str] = set()
        for owner in self.order(symbol.canonical) if symbol.kind is SymbolKind.TYPE else (symbol.canonical,):
            entry = self.entry(owner)
            if entry is not None:
                names.update(name for name in entry.children if name not in entry.hidden)
        return sorted(names)

    def bases(self, path: str) -> list[str]:
        """Return the canonical paths of a type's direct bases, in order; `object` is not listed."""
        symbol = self.find(path)
        entry = None if symbol is None else self.entry(symbol.canonical)
        return [] if entry is None else [form.path for form in entry.bases]

    def parameters(self, path: str) -> list[Parameter] | None:
        """Return a function's parameters without the receiver; a type's are those of its `__init__` or `__new__`.

        Of an overloaded function: those of its longest overload. None when nothing is known about its parameters.
        """
        symbol = self.find(path)
        if symbol is None:
            return None
        look_up = self.constructor if symbol.kind is SymbolKind.TYPE else self.entry
        entry = look_up(symbol.canonical)
        if entry is None or not entry.signatures:
            return None
        longest = max(entry.signatures, key=lambda signature: len(signature.parameters))
        return [Parameter(p.name, ParameterKind(p.kind), p.default) for p in longest.parameters]

    def constructor(self, type_path: str) -> Entry | None:
        """Return `__init__` or `__new__` of a type given by canonical path: whichever a class defines first."""
        for owner in self.order(type_path)[:-1]:
            entry = self.entry(owner)
            children = {} if entry is None else entry.children
            if target := children.get("__init__") or children.get("__new__"):
                return self.entry(target)
        return None

    def entry(self, canonical: str) -> Entry | None:
        """Return what is stored under a canonical path."""
        try:
            return self._entries[canonical]
        except KeyError:
            entry = self._load(canonical)
            if len(self._entries) < _MAX_CACHED:
                self._entries[canonical] = entry
            return entry

    def order(self, type_path: str) -> tuple[str, ...]:
        """Return a type, given by canonical path, and its bases in the order in which members are searched."""
        found = self._orders.get(type_path)
        if found is None:
            found = tuple(linearize(type_path, self._base_paths))
            if len(self._orders) < _MAX_CACHED:
                self._orders[type_path] = found
        return found

    def member(self, type_path: str, name: str) -> tuple[str, str] | None:
        """Return the class that has a member of a type, and the member's canonical path."""
        for owner in self.order(type_path):
            entry = self.entry(owner)
            if entry is not None and name in entry.children:
                return owner, entry.children[name]
        return None

    def _base_paths(self, path: str) -> list[str]:
        entry = self.entry(path)
        return [] if entry is None else list(dict.fromkeys(form.path for form in entry.bases))

    def _find(self, path: str) -> Symbol | None:
        parts = path.split(".")
        if len(parts) > _MAX_PARTS:
            return None
        entry = self.entry(parts[0])
        if entry is None or entry.kind is not SymbolKind.MODULE:
            parts = [BUILTINS, *parts]
            entry = self.entry(BUILTINS)
        receiver = ""
        for name in parts[1:]:
            entry, receiver = self._step(entry, name)
        return None if entry is None else _symbol(".".join(parts), entry, receiver)

    def _step(self, entry: Entry | None, name: str) -> tuple[Entry | None, str]:
        """Return a member and, for one of a type, the type that was asked."""
        if entry is None:
            return None, ""
        if entry.kind is SymbolKind.TYPE:
            found = self.member(entry.path, name)
            return (None, "") if found is None else (self.entry(found[1]), entry.path)
        target = entry.children.get(name)
        return (None if target is None else self.entry(target)), ""

    def _load(self, canonical: str) -> Entry | None:
        if getattr(self._local, "process", None) != os.getpid():  # this thread's first question, or after a fork
            self._local.process, self._local.connection = os.getpid(), _connect(self.path)
        query = "SELECT kind, body FROM symbol WHERE path = ?"
        row = self._local.connection.execute(query, (canonical,)).fetchone()
        return None if row is None else _entry(canonical, row[0], orjson.loads(row[1]))


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True)


def _entry(path: str, kind: str, body: dict[str, Any]) -> Entry:
    signatures = tuple(
        SignatureForm(
            tuple(_parameter(values) for values in signature["parameters"]),
            forms_from_json(signature["returns"]),
        )
        for signature in body.get("signatures", ())
    )
    return Entry(
        path=path,
        kind=SymbolKind(kind),
        forms=forms_from_json(body.get("forms", [])),
        signatures=signatures,
        bases=forms_from_json(body.get("bases", [])),
        type_parameters=tuple(body.get("type_parameters", ())),
        children={name: target or f"{path}.{name}" for name, target in body.get("children", {}).items()},
        hidden=frozenset(body.get("hidden", ())),
    )


def _parameter(values: list[Any]) -> ParameterForm:
    name, kind, default, forms, *literals = values
    return ParameterForm(name, kind, default, forms_from_json(forms), frozenset(literals[0] if literals else ()))


def _symbol(path: str, entry: Entry, receiver: str) -> Symbol:
    forms = _known(entry.forms, receiver)
    returns: Forms = ()
    if entry.signatures:
        every = [_known(signature.returns, receiver) for signature in entry.signatures]
        # One overload of unknown result makes the result unknown.
        returns = join(form for union in every for form in union) if all(every) else ()
    elements = _elements(returns or forms, receiver)
    return Symbol(
        path=path,
        canonical=entry.path,
        kind=entry.kind,
        type_path=forms[0].path if forms else "",
        returns=tuple(dict.fromkeys(form.path for form in returns)),
        elements=elements,
    )


def _known(forms: Forms, receiver: str) -> Forms:
    """Return a union with the receiver filled in; empty when a type variable is left in it."""
    filled = tuple(Form(receiver) if form.path == RECEIVER and receiver else form for form in forms)
    return () if any(form.is_variable for form in filled) else filled


def _elements(forms: Forms, receiver: str) -> tuple[str, ...]:
    arguments = [argument for form in forms if form.path in ITERATED for argument in _element_arguments(form)]
    found = [form for argument in arguments for form in argument]
    known = _known(join(found), receiver)
    return tuple(dict.fromkeys(form.path for form in known if form.path != NONE))


def _element_arguments(form: Form) -> tuple[Forms, ...]:
    return form.arguments if form.path == TUPLE else form.arguments[:1]
