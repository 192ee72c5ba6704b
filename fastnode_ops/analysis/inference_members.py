"""Members, type arguments and results of what the symbol store describes. Nothing here depends on a file."""

from __future__ import annotations

from collections.abc import Mapping

from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join, to_types
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import ITERATED, RECEIVER, TUPLE, TYPE, Form, Forms
from fastnode_ops.symbols.special_types import MARKERS
from fastnode_ops.symbols.store import Entry, SymbolStore
from fastnode_ops.symbols.symbol import SymbolKind

Environment = Mapping[str, Terms]
"""What type variables (`~T`) stand for."""

_NO_ARGUMENTS: dict[str, Terms] = {}
_MAX_CACHED = 100_000
_MAX_BASES = 40

_OWN_TYPES = {
    ValueKind.MODULE: "types.ModuleType",
    ValueKind.TYPE: TYPE,
    ValueKind.FUNCTION: "types.FunctionType",
}
"""Whose attributes modules, types and functions have besides those of their own."""


class Members:
    """What the store knows about terms; one object per store, shared by all files of a process."""

    def __init__(self, store: SymbolStore) -> None:
        self.store = store
        self._attributes: dict[tuple[ValueKind, str, str, str], Terms] = {}
        self._environments: dict[tuple[str, str], Environment] = {}
        self._protocols: dict[tuple[str, str], bool] = {}

    def symbol(self, path: str) -> Terms:
        """Return what a path as written stands for; empty when there is no such symbol."""
        symbol = self.store.find(path)
        entry = None if symbol is None else self.store.entry(symbol.canonical)
        return () if symbol is None or entry is None else self.stored(symbol.path, entry)

    def stored(self, path: str, entry: Entry) -> Terms:
        """Return what an entry stands for, given its path as written."""
        if entry.kind is SymbolKind.MODULE:
            return (Term(ValueKind.MODULE, path, entry.path),)
        if entry.kind is SymbolKind.TYPE:
            return (Term(ValueKind.TYPE, path, entry.path),)
        if entry.kind is SymbolKind.FUNCTION:
            return (Term(ValueKind.FUNCTION, path, entry.path),)
        known = entry.forms and entry.forms[0].path not in MARKERS and entry.kind is SymbolKind.OBJECT
        terms = self.instantiate(entry.forms, _NO_ARGUMENTS, None) if known else ()
        return terms or (Term(ValueKind.OBJECT, path, entry.path),)

    def attribute(self, term: Term, name: str) -> Terms:
        """Return an attribute of what the store describes."""
        if term.arguments or term.receiver is not None:
            return self._attribute(term, name)
        key = (term.kind, term.path, term.canonical, name)
        found = self._attributes.get(key)
        if found is None:
            found = self._attribute(term, name)
            if len(self._attributes) < _MAX_CACHED:
                self._attributes[key] = found
        return found

    def _attribute(self, term: Term, name: str) -> Terms:
        if term.kind is ValueKind.MODULE:
            entry = self.store.entry(term.canonical)
            target = None if entry is None else entry.children.get(name)
            member = None if target is None else self.store.entry(target)
            if member is not None:
                return self.stored(f"{term.path}.{name}", member)
        elif term.kind in (ValueKind.TYPE, ValueKind.INSTANCE):
            found = self.member(term, term.canonical, name)
            if found:
                return found
        own = _OWN_TYPES.get(term.kind)
        return () if own is None else self.member(instance(own), own, name)

    def member(self, receiver: Term, type_path: str, name: str, arguments: tuple[Terms, ...] | None = None) -> Terms:
        """Return a member of a type of the store, taken from a receiver.

        Args:
            receiver: An instance or type: the stored one, or of a class of the file that has it as a base.
            type_path: Canonical path of the type.
            name: The member.
            arguments: Type arguments of the type; by default those of the receiver.
        """
        found = self.store.member(type_path, name)
        entry = None if found is None else self.store.entry(found[1])
        if found is None or entry is None:
            return ()
        if name == "__class__":
            return (Term(ValueKind.TYPE, receiver.path, receiver.canonical, receiver.arguments, receiver.node),)
        path = f"{type_path if receiver.node is not None else receiver.path}.{name}"
        if entry.kind is SymbolKind.FUNCTION:
            return (Term(ValueKind.FUNCTION, path, entry.path, (), None, receiver),)
        if entry.kind is SymbolKind.TYPE:
            return (Term(ValueKind.TYPE, path, entry.path),)
        if entry.kind is SymbolKind.DESCRIPTOR and receiver.kind is ValueKind.TYPE:
            return (Term(ValueKind.OBJECT, path, entry.path),)
        environment = self.environment(type_path, receiver.arguments if arguments is None else arguments, found[0])
        return self.instantiate(entry.forms, environment, receiver) or (Term(ValueKind.OBJECT, path, entry.path),)

    def environment(self, type_path: str, arguments: tuple[Terms, ...], owner: str) -> Environment:
        """Return what the type parameters of `owner`, a base of a type with these arguments, stand for."""
        if arguments:
            return self._find_environment(type_path, arguments, owner, 0) or _NO_ARGUMENTS
        key = (type_path, owner)
        found = self._environments.get(key)
        if found is None:
            found = self._find_environment(type_path, arguments, owner, 0) or _NO_ARGUMENTS
            if len(self._environments) < _MAX_CACHED:
                self._environments[key] = found
        return found

    def _find_environment(
        self, type_path: str, arguments: tuple[Terms, ...], owner: str, depth: int
    ) -> Environment | None:
        entry = self.store.entry(type_path)
        if entry is None or depth > _MAX_BASES:
            return None
        if type_path == TUPLE:
            arguments = (join(arguments),)
        own = dict(zip(entry.type_parameters, arguments))
        if type_path == owner:
            return own
        for base in entry.bases:
            if owner in self.store.order(base.path):
                of_base = tuple(self.instantiate(argument, own, None) for argument in base.arguments)
                return self._find_environment(base.path, of_base, owner, depth + 1)
        return None

    def instantiate(self, forms: Forms, environment: Environment, receiver: Term | None) -> Terms:
        """Return what a type of the store means where type variables and receiver are known."""
        return join(self._instantiate(form, environment, receiver) for form in forms)

    def _instantiate(self, form: Form, environment: Environment, receiver: Term | None) -> Terms:
        if not form.arguments and not form.is_variable:
            return (Term(ValueKind.INSTANCE, form.path, form.path),)
        if form.path == RECEIVER:
            return () if receiver is None else (_instance_of(receiver),)
        if form.is_variable:
            return environment.get(form.path) or self._limit(form)
        arguments = tuple(self.instantiate(argument, environment, receiver) for argument in form.arguments)
        if form.path == TYPE:
            return to_types(arguments[0])
        return (instance(form.path, *arguments),)

    def _limit(self, form: Form) -> Terms:
        """Return what an unsolved type variable is at least; `AnyStr` is mostly `str`."""
        if form.path == "~AnyStr":
            return (instance("builtins.str"),)
        limits = form.arguments[0] if form.arguments else ()
        return self.instantiate(limits, _NO_ARGUMENTS, None) if len(limits) == 1 else ()

    def is_a(self, type_path: str, wanted: str) -> bool:
        """Whether a type is another one, has it as a base, or (for protocols) has all its members."""
        if wanted in self.store.order(type_path) or wanted == "builtins.object":
            return True
        if wanted in _WIDENED.get(type_path, ()):
            return True
        key = (type_path, wanted)
        found = self._protocols.get(key)
        if found is None:
            found = self._protocols[key] = self._has_members(type_path, wanted)
        return found

    def _has_members(self, type_path: str, protocol: str) -> bool:
        if protocol.partition(".")[0] not in ("typing", "_typeshed", "typing_extensions"):
            return False
        entry = self.store.entry(protocol)
        names = set() if entry is None else entry.children.keys() - _NO_MEMBERS
        return bool(names) and all(self.store.member(type_path, name) for name in names)

    def element_argument(self, term: Term) -> Terms | None:
        """Return what iterating an instance gives if its type arguments say so; None if its methods have to."""
        if term.canonical == TUPLE and term.arguments:
            return join(term.arguments)
        if term.canonical in ITERATED and term.arguments:
            return term.arguments[0]
        return None


_WIDENED = {
    "builtins.int": ("builtins.float", "builtins.complex"),
    "builtins.bool": ("builtins.float", "builtins.complex"),
    "builtins.float": ("builtins.complex",),
}
_NO_MEMBERS = frozenset({"__slots__", "__doc__", "__hash__", "__module__"})


def members_of(store: SymbolStore) -> Members:
    """Return the one `Members` of a store."""
    found = store.derived.get(Members)
    if found is None:
        found = store.derived[Members] = Members(store)
    assert isinstance(found, Members)
    return found


def _instance_of(receiver: Term) -> Term:
    return Term(ValueKind.INSTANCE, receiver.path, receiver.canonical, receiver.arguments, receiver.node)
