"""From the text of a module, stub or source, to what it declares. Nothing is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from fastnode_ops.symbols.conditions import condition_holds
from fastnode_ops.symbols.declarations import UNKNOWN, Declaration, DeclarationKind, Ref, RefForm
from fastnode_ops.symbols.functions import Function, declare_function, local_names
from fastnode_ops.symbols.references import annotation_ref, dotted, exact, union, value_ref, without_names

_MAX_NESTING = 6
_TYPE_VARIABLES = ("TypeVar", "ParamSpec", "TypeVarTuple")


def extract_module(text: str | bytes, name: str, *, is_package: bool, is_stub: bool) -> Declaration:
    """Return what a module declares.

    Args:
        text: Its source.
        name: Its dotted name.
        is_package: Whether the file is an `__init__`; decides what relative imports mean.
        is_stub: Whether it is a `.pyi` file: imports are not members then, unless the file says so.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: The text is no Python of this version, or too deep.
    """
    tree = ast.parse(text)
    declaration = Declaration(DeclarationKind.MODULE, is_stub=is_stub)
    _Body(declaration, name, name if is_package else name.rpartition(".")[0], is_stub).fill(tree.body)
    if declaration.exports is not None:
        for export in declaration.exports:
            if export in declaration.members:
                declaration.members[export].is_exported = True
    return declaration


class _Body:
    """Collects the declarations of one module or class body."""

    def __init__(self, target: Declaration, module: str, package: str, is_stub: bool, depth: int = 0) -> None:
        self.target = target
        self.module = module
        self.package = package
        self.is_stub = is_stub
        self.depth = depth
        self.is_class = target.kind is DeclarationKind.CLASS
        self.handlers: dict[type[ast.stmt], Callable[[Any, bool], None]] = {
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Assign: self._assign,
            ast.AnnAssign: self._annotated,
            ast.AugAssign: self._augmented,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.If: self._if,
            ast.Try: self._try,
            ast.With: self._with,
            ast.Expr: self._expression,
        }

    def fill(self, statements: Sequence[ast.stmt], *, is_weak: bool = False) -> None:
        """Declare what the statements do; a weak one does not replace an earlier declaration of the name."""
        for statement in statements:
            handler = self.handlers.get(type(statement))
            if handler is not None:
                handler(statement, is_weak)

    def _add(self, name: str, declaration: Declaration, is_weak: bool) -> None:
        if is_weak and name in self.target.members:
            return
        self.target.members[name] = declaration

    def _function(self, node: Function, is_weak: bool) -> None:
        if node.name in self.target.members and _is_accessor(node):
            return
        earlier = self.target.members.get(node.name)
        declaration = declare_function(node, is_method=self.is_class, is_stub=self.is_stub)
        if earlier is not None and earlier.kind is DeclarationKind.FUNCTION and earlier.is_overloaded:
            if declaration.is_overloaded:
                earlier.signatures += declaration.signatures
            return  # the body behind the overloads says less than they do
        self._add(node.name, declaration, is_weak)
        if self.is_class and not self.is_stub:
            self._instance_attributes(node)

    def _instance_attributes(self, node: Function) -> None:
        parameters = [*node.args.posonlyargs, *node.args.args]
        if not parameters:
            return
        annotated = {p.arg: annotation_ref(p.annotation) for p in [*parameters, *node.args.kwonlyargs] if p.annotation}
        names = local_names(node)
        receiver = parameters[0].arg
        for statement in _statements(node.body):
            if isinstance(statement, ast.AnnAssign):
                self._attribute(statement.target, receiver, annotation_ref(statement.annotation))
            elif isinstance(statement, ast.Assign):
                ref = value_ref(statement.value)
                is_parameter = ref.form is RefForm.VALUE and ref.name in annotated and ref.name != receiver
                ref = annotated[ref.name] if is_parameter else without_names(ref, names)
                for target in statement.targets:
                    self._attribute(target, receiver, ref)

    def _attribute(self, target: ast.expr, receiver: str, ref: Ref) -> None:
        if not isinstance(target, ast.Attribute) or dotted(target.value) != receiver:
            return
        earlier = self.target.members.get(target.attr)
        if earlier is None:
            self.target.members[target.attr] = Declaration(DeclarationKind.OBJECT, ref)
        elif earlier.kind is DeclarationKind.OBJECT and _is_none(earlier.ref):
            earlier.ref = ref

    def _class(self, node: ast.ClassDef, is_weak: bool) -> None:
        declaration = Declaration(DeclarationKind.CLASS, bases=[annotation_ref(base) for base in node.bases])
        if self.depth < _MAX_NESTING:
            _Body(declaration, self.module, self.package, self.is_stub, self.depth + 1).fill(node.body)
        self._add(node.name, declaration, is_weak)

    def _assign(self, node: ast.Assign, is_weak: bool) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._assign_name(target.id, node.value, is_weak)
            elif isinstance(target, ast.Tuple | ast.List):
                for item in target.elts:
                    if isinstance(item, ast.Name):
                        self._add(item.id, Declaration(DeclarationKind.OBJECT), is_weak)

    def _assign_name(self, name: str, value: ast.expr, is_weak: bool) -> None:
        if name == "__all__" and not self.is_class:
            self.target.exports = _string_list(value)
            return
        declaration = _assigned(value)
        declaration.is_assigned = True
        self._add(name, declaration, is_weak)

    def _annotated(self, node: ast.AnnAssign, is_weak: bool) -> None:
        if not isinstance(node.target, ast.Name):
            return
        name = node.target.id
        if name == "__all__" and node.value is not None:
            self.target.exports = _string_list(node.value)
            return
        last = dotted(node.annotation).rpartition(".")[2]
        if last == "TypeAlias" and node.value is not None and dotted(node.value):
            declaration = Declaration(DeclarationKind.ALIAS, Ref(RefForm.NAME, dotted(node.value)))
        elif last == "TypeAlias":
            declaration = Declaration(DeclarationKind.TYPE_ALIAS, annotation_ref(node.value))
        elif last == "Final":
            declaration = Declaration(DeclarationKind.OBJECT, value_ref(node.value))
        else:
            declaration = Declaration(DeclarationKind.OBJECT, annotation_ref(node.annotation))
        self._add(name, declaration, is_weak)

    def _augmented(self, node: ast.AugAssign, is_weak: bool) -> None:
        if not is_weak and dotted(node.target) == "__all__":
            self._extend_exports(node.value)

    def _extend_exports(self, value: ast.expr) -> None:
        more = _string_list(value)
        if self.target.exports is not None:
            self.target.exports = None if more is None else self.target.exports + more

    def _expression(self, node: ast.Expr, is_weak: bool) -> None:
        call = node.value
        if is_weak or not isinstance(call, ast.Call) or len(call.args) != 1:
            return
        if dotted(call.func) == "__all__.extend":
            self._extend_exports(call.args[0])

    def _import(self, node: ast.Import, is_weak: bool) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            target = alias.name if alias.asname else name
            self._alias(name, target, alias.asname == alias.name, is_weak)

    def _import_from(self, node: ast.ImportFrom, is_weak: bool) -> None:
        source = self._absolute(node)
        for alias in node.names if source else []:
            if alias.name == "*":
                self.target.stars.append(source)
            elif alias.name == "__all__":
                self.target.exports = None  # those of the star beside it
            else:
                self._alias(alias.asname or alias.name, f"{source}.{alias.name}", alias.asname == alias.name, is_weak)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        if node.level > len(parts):
            return ""
        return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])

    def _alias(self, name: str, target: str, is_repeated: bool, is_weak: bool) -> None:
        is_own = target.partition(".")[0] == self.module.partition(".")[0]
        is_exported = self.is_class or is_repeated or (is_own and not self.is_stub)
        self._add(name, Declaration(DeclarationKind.ALIAS, exact(target), is_exported=is_exported), is_weak)

    def _if(self, node: ast.If, is_weak: bool) -> None:
        holds = condition_holds(node.test)
        if holds is not False:
            self.fill(node.body, is_weak=is_weak)
        if holds is not True:
            self.fill(node.orelse, is_weak=is_weak or holds is None)

    def _try(self, node: ast.Try, is_weak: bool) -> None:
        self.fill(node.body, is_weak=is_weak)
        for handler in node.handlers:
            self.fill(handler.body, is_weak=True)
        self.fill(node.orelse, is_weak=is_weak)
        self.fill(node.finalbody, is_weak=is_weak)

    def _with(self, node: ast.With, is_weak: bool) -> None:
        self.fill(node.body, is_weak=is_weak)


def _assigned(value: ast.expr) -> Declaration:
    if isinstance(value, ast.Call):
        return _called(value)
    if isinstance(value, ast.Name | ast.Attribute) and dotted(value):
        return Declaration(DeclarationKind.ALIAS, Ref(RefForm.NAME, dotted(value)))
    if isinstance(value, ast.Subscript) or (isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)):
        return Declaration(DeclarationKind.TYPE_ALIAS, annotation_ref(value))
    return Declaration(DeclarationKind.OBJECT, value_ref(value))


def _called(value: ast.Call) -> Declaration:
    last = dotted(value.func).rpartition(".")[2]
    if last in _TYPE_VARIABLES:
        limits = [*value.args[1:], *(keyword.value for keyword in value.keywords if keyword.arg == "bound")]
        ref = union([annotation_ref(limit) for limit in limits]) if limits else UNKNOWN
        return Declaration(DeclarationKind.TYPE_VARIABLE, ref)
    if last == "NewType" and len(value.args) == 2:
        return Declaration(DeclarationKind.TYPE_ALIAS, annotation_ref(value.args[1]))
    if last in ("namedtuple", "NamedTuple") and len(value.args) >= 2:
        return _named_tuple(value.args[1])
    return Declaration(DeclarationKind.OBJECT, value_ref(value))


def _named_tuple(fields: ast.expr) -> Declaration:
    members: dict[str, Declaration] = {}
    if isinstance(fields, ast.Constant) and isinstance(fields.value, str):
        members = {name: Declaration(DeclarationKind.OBJECT) for name in fields.value.replace(",", " ").split()}
    for item in fields.elts if isinstance(fields, ast.List | ast.Tuple) else []:
        ref = UNKNOWN
        if isinstance(item, ast.Tuple) and len(item.elts) == 2:
            ref, item = annotation_ref(item.elts[1]), item.elts[0]
        if isinstance(item, ast.Constant) and isinstance(item.value, str):
            members[item.value] = Declaration(DeclarationKind.OBJECT, ref)
    return Declaration(DeclarationKind.CLASS, members=members, bases=[exact("builtins.tuple")])


def _string_list(value: ast.expr) -> list[str] | None:
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    return [item.value for item in value.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]


def _is_accessor(node: Function) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr in ("setter", "deleter", "getter") for d in node.decorator_list)


def _is_none(ref: Ref) -> bool:
    return ref.form is RefForm.UNKNOWN or (ref.form is RefForm.EXACT and ref.name == "types.NoneType")


def _statements(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a function in source order, without those of nested functions and classes."""
    found: list[ast.stmt] = []
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        found.append(statement)
        inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt | ast.ExceptHandler)]
        for child in reversed(inner):
            waiting.extend(reversed(child.body) if isinstance(child, ast.ExceptHandler) else [child])
    return found
