"""From declarations, file by file, to symbols with full paths: types, results, bases, children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fastnode_ops.symbols.declarations import Declaration, DeclarationKind, DeclaredParameter, Ref, RefForm
from fastnode_ops.symbols.forms import (
    NONE,
    RECEIVER,
    TYPE,
    Form,
    Forms,
    ParameterForm,
    SignatureForm,
    join,
)
from fastnode_ops.symbols.names import Names
from fastnode_ops.symbols.special_types import NOTHING, RENAMED, TYPING, WRAPPERS
from fastnode_ops.symbols.symbol import SymbolKind

_ENUMERATION = "enum.Enum"

_MAX_DEPTH = 14
"""Steps from a type as written to what it means: aliases, unions, type arguments (which count as several)."""

_ARGUMENT_DEPTH = 3
_MAX_LIMITS = 4


@dataclass(slots=True)
class LinkedSymbol:
    """A row of the symbol store.

    Args:
        path: Canonical path.
        kind: What it names.
        forms: Type of an object or descriptor.
        signatures: Of a function.
        bases: Of a type, with type arguments.
        type_parameters: Of a type, as `~T`.
        children: Name to canonical path; `hidden` holds the names among them that completion does not offer.
    """

    path: str
    kind: SymbolKind
    forms: Forms = ()
    signatures: tuple[SignatureForm, ...] = ()
    bases: Forms = ()
    type_parameters: tuple[str, ...] = ()
    children: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)


def link(modules: Mapping[str, Declaration]) -> Iterator[LinkedSymbol]:
    """Yield the symbols of all modules, sorted by path."""
    linker = _Linker(Names(modules))
    for path in sorted(linker.names.nodes):
        symbol = linker.symbol(path)
        if symbol is not None:
            yield symbol


class _Linker:
    def __init__(self, names: Names) -> None:
        self.names = names
        self._objects: dict[str, Forms] = {}
        self._limits: dict[str, Forms] = {}
        self._named_types: dict[str, bool] = {}

    def symbol(self, path: str) -> LinkedSymbol | None:
        node = self.names.nodes[path]
        if node.kind is DeclarationKind.MODULE:
            return self._module(path, node)
        if node.kind is DeclarationKind.CLASS:
            return self._type(path, node)
        if node.kind is DeclarationKind.FUNCTION:
            return self._function(path, node)
        if not self._has_row(path):
            return None
        if node.kind is DeclarationKind.TYPE_ALIAS and self._is_named_type(path, node):
            return LinkedSymbol(path, SymbolKind.TYPE, bases=self.forms(node.ref, self.names.scope_of[path]))
        return self._object(path)

    def _object(self, path: str) -> LinkedSymbol:
        forms = self.object_forms(path)
        protocol = self.names.nodes.get(forms[0].path) if len(forms) == 1 else None
        if protocol is not None and protocol.kind is DeclarationKind.CLASS and _is_callback(protocol):
            signatures = self._signatures(protocol.members["__call__"], forms[0].path)
            return LinkedSymbol(path, SymbolKind.FUNCTION, signatures=signatures)
        return LinkedSymbol(path, SymbolKind.OBJECT, forms)

    def _module(self, path: str, node: Declaration) -> LinkedSymbol:
        symbol = LinkedSymbol(path, SymbolKind.MODULE)
        names = {name for name, member in node.members.items() if member.is_exported or not node.is_stub}
        for source in node.stars:
            names |= self.names.public_names(source)
        for name in sorted(names | set(self.names.submodules(path))):
            target = self.names.member(path, name)
            if target is not None and self._has_row(target):
                symbol.children[name] = target
                if name in node.members and not node.members[name].is_exported:
                    symbol.hidden.append(name)
        return symbol

    def _type(self, path: str, node: Declaration) -> LinkedSymbol:
        scope = self.names.scope_of[path]
        symbol = LinkedSymbol(path, SymbolKind.TYPE)
        bases = [form for base in node.bases for form in self.forms(base, scope)]
        symbol.bases = tuple(form for form in bases if self.names.is_class(form.path) and form.path != path)
        symbol.type_parameters = self._type_parameters(node, scope, bases)
        for name in sorted(node.members):
            target = self.names.member(path, name)
            if target is not None and self._has_row(target):
                symbol.children[name] = target
        return symbol

    def _has_row(self, path: str) -> bool:
        """Whether a path is a symbol of its own: an alias is one only if it leads nowhere."""
        node = self.names.nodes[path]
        if node.kind is not DeclarationKind.ALIAS:
            return True
        parent, _, name = path.rpartition(".")
        return self.names.member(parent, name) == path

    def _type_parameters(self, node: Declaration, scope: str, bases: list[Form]) -> tuple[str, ...]:
        for base in node.bases:
            if base.name.rpartition(".")[2] in ("Generic", "Protocol") and base.arguments:
                forms = (form for argument in base.arguments for form in self.forms(argument, scope))
                return tuple(form.path for form in forms if form.is_variable)
        found: dict[str, None] = {}
        for form in bases:
            _collect_variables(form, found)
        return tuple(found)

    def _function(self, path: str, node: Declaration) -> LinkedSymbol:
        signatures = self._signatures(node, self.names.scope_of[path])
        if node.is_descriptor:
            return LinkedSymbol(path, SymbolKind.DESCRIPTOR, signatures[0].returns)
        return LinkedSymbol(path, SymbolKind.FUNCTION, signatures=signatures)

    def _signatures(self, node: Declaration, scope: str) -> tuple[SignatureForm, ...]:
        return tuple(
            SignatureForm(
                tuple(self._parameter(parameter, scope) for parameter in signature.parameters),
                self.forms(signature.returns, scope),
            )
            for signature in node.signatures
        )

    def _parameter(self, declared: DeclaredParameter, scope: str) -> ParameterForm:
        forms = self.forms(declared.ref, scope)
        literals = self._literals(declared.ref, scope, 0) or set()
        return ParameterForm(declared.name, declared.kind, declared.default, forms, frozenset(literals))

    def _literals(self, ref: Ref, scope: str, depth: int) -> set[str] | None:
        """Return the constants that a type allows; None if it allows others."""
        if depth > _MAX_DEPTH:
            return None
        if ref.form is RefForm.LITERAL:
            return {ref.arguments[0].name}
        if ref.form is RefForm.EXACT and ref.name == NONE:
            return {"None"}
        if ref.form is RefForm.UNION:
            found = [self._literals(argument, scope, depth + 1) for argument in ref.arguments]
            return None if None in found else set().union(*(texts for texts in found if texts))
        if ref.form is RefForm.NAME and not ref.arguments and (path := self.names.scoped(scope, ref.name)):
            node = self.names.nodes[path]
            if node.kind is DeclarationKind.TYPE_ALIAS:
                return self._literals(node.ref, self.names.scope_of[path], depth + 1)
        return None

    def object_forms(self, path: str) -> Forms:
        """Return the type of a variable."""
        if path not in self._objects:
            self._objects[path] = ()  # a variable that is defined by itself is unknown
            node = self.names.nodes[path]
            scope = self.names.scope_of[path]
            if node.is_assigned and self.names.is_class(scope) and _ENUMERATION in self.names.order(scope):
                self._objects[path] = (Form(scope),)
            elif node.kind is DeclarationKind.OBJECT:
                self._objects[path] = self.forms(node.ref, scope)
        return self._objects[path]

    def forms(self, ref: Ref, scope: str, depth: int = 0) -> Forms:
        """Return a type that is written in a scope; empty when unknown."""
        if depth > _MAX_DEPTH:
            return ()
        if ref.form is RefForm.NAME:
            return self._named(ref, scope, depth)
        if ref.form is RefForm.EXACT:
            return (Form(ref.name, self._arguments(ref, scope, depth)),)
        if ref.form is RefForm.LITERAL:
            return (Form(ref.name),)
        if ref.form is RefForm.UNION:
            return self._union(ref.arguments, scope, depth)
        if ref.form is RefForm.RECEIVER:
            return (Form(RECEIVER),)
        if ref.form is RefForm.CALL:
            return self._called(ref, scope, depth)
        if ref.form is RefForm.VALUE:
            return self._value(ref, scope, depth)
        return ()

    def _arguments(self, ref: Ref, scope: str, depth: int) -> tuple[Forms, ...]:
        found = [self.forms(argument, scope, depth + _ARGUMENT_DEPTH) for argument in ref.arguments]
        if len(found) == 2 and found[1] == (Form("..."),):
            found.pop()
        return tuple(found)

    def _union(self, refs: list[Ref], scope: str, depth: int) -> Forms:
        return join(form for ref in refs for form in self.forms(ref, scope, depth + 1))

    def _named(self, ref: Ref, scope: str, depth: int) -> Forms:
        path = self.names.scoped(scope, ref.name)
        if path is None:
            return ()
        node = self.names.nodes[path]
        module, _, last = path.rpartition(".")
        if module in TYPING and (found := self._special(last, ref, scope, depth)) is not None:
            return found
        if node.kind is DeclarationKind.TYPE_VARIABLE:
            return (self._variable(path, last),)
        if node.kind is DeclarationKind.CLASS:
            return () if path == "builtins.object" else (Form(path, self._arguments(ref, scope, depth)),)
        if node.kind is DeclarationKind.TYPE_ALIAS:
            if self._is_named_type(path, node):
                return (Form(path),)
            return self.forms(node.ref, self.names.scope_of[path], depth + 1)
        return ()

    def _variable(self, path: str, name: str) -> Form:
        """Return a type variable with what it is limited to, if that is a few plain classes."""
        if path not in self._limits:
            self._limits[path] = ()  # a variable that is limited by itself is not limited
            limits = self.forms(self.names.nodes[path].ref, self.names.scope_of[path])
            if len(limits) <= _MAX_LIMITS and not any(form.is_variable for form in limits):
                self._limits[path] = tuple(Form(form.path) for form in limits)
        limits = self._limits[path]
        return Form(f"~{name}", (limits,) if limits else ())

    def _is_named_type(self, path: str, node: Declaration) -> bool:
        """Whether an alias is a type of its own to those who use it: `float32 = floating[_32Bit]`."""
        if path not in self._named_types:
            self._named_types[path] = False  # an alias that is defined by itself is none
            self._named_types[path] = self._find_named_type(path, node)
        return self._named_types[path]

    def _find_named_type(self, path: str, node: Declaration) -> bool:
        is_public = not path.rpartition(".")[2].startswith("_")
        if not is_public or node.ref.form is not RefForm.NAME or not node.ref.arguments:
            return False
        scope = self.names.scope_of[path]
        target = self.names.scoped(scope, node.ref.name)
        if target is None or not self.names.is_class(target) or target.rpartition(".")[0] in TYPING:
            return False
        return not any(_has_variable(form) for form in self.forms(node.ref, scope))  # else it is one per argument

    def _special(self, last: str, ref: Ref, scope: str, depth: int) -> Forms | None:
        if last in NOTHING:
            return ()
        if last in RENAMED:
            return (Form(RENAMED[last], self._arguments(ref, scope, depth)),)
        if last in WRAPPERS:
            return self._union(ref.arguments[:1], scope, depth)
        if last == "Union":
            return self._union(ref.arguments, scope, depth)
        if last == "Optional":
            return self._union(ref.arguments, scope, depth) or (Form(NONE),)
        return None

    def _called(self, ref: Ref, scope: str, depth: int) -> Forms:
        path = self.names.scoped(scope, ref.name)
        node = self.names.nodes.get(path or "")
        if path is None or node is None:
            return ()
        if node.kind is DeclarationKind.CLASS:
            return () if path == "builtins.object" else (Form(path),)
        if node.kind is not DeclarationKind.FUNCTION or node.is_descriptor:
            return ()
        owner = self.names.scope_of[path]
        return join(
            Form(owner) if form.path == RECEIVER else form
            for signature in node.signatures
            for form in self.forms(signature.returns, owner, depth + 1)
            if not (form.is_variable and form.path != RECEIVER)
        )

    def _value(self, ref: Ref, scope: str, depth: int) -> Forms:
        path = self.names.scoped(scope, ref.name)
        node = self.names.nodes.get(path or "")
        if path is None or node is None:
            return ()
        if node.kind is DeclarationKind.CLASS:
            return (Form(TYPE, ((Form(path),),)),)
        if node.kind is DeclarationKind.OBJECT and depth <= _MAX_DEPTH:
            return self.object_forms(path)
        return ()


def _is_callback(node: Declaration) -> bool:
    """Whether a class only describes a function: `zeros: _ConstructorEmpty`, a protocol with `__call__`."""
    is_protocol = any(base.name.rpartition(".")[2] == "Protocol" for base in node.bases)
    call = node.members.get("__call__")
    return is_protocol and call is not None and call.kind is DeclarationKind.FUNCTION


def _has_variable(form: Form) -> bool:
    return form.is_variable or any(_has_variable(inner) for argument in form.arguments for inner in argument)


def _collect_variables(form: Form, found: dict[str, None]) -> None:
    if form.is_variable:
        found[form.path] = None
    for argument in form.arguments:
        for inner in argument:
            _collect_variables(inner, found)
