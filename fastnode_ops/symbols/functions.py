"""What a function declares: its parameters, its result, how it is decorated."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from fastnode_ops.symbols.declarations import (
    UNKNOWN,
    Declaration,
    DeclarationKind,
    DeclaredParameter,
    Ref,
    RefForm,
    Signature,
)
from fastnode_ops.symbols.references import annotation_ref, dotted, exact, union, value_ref, without_names
from fastnode_ops.symbols.symbol import ParameterKind

Function = ast.FunctionDef | ast.AsyncFunctionDef

_DESCRIPTORS = frozenset({"DynamicClassAttribute", "_magic_enum_attr"})
_MAX_DEFAULT_CHARACTERS = 80
_MAX_RETURNS = 16
_CONTEXT_MANAGERS = {
    "contextmanager": "contextlib._GeneratorContextManager",
    "asynccontextmanager": "contextlib._AsyncGeneratorContextManager",
}


def declare_function(node: Function, *, is_method: bool, is_stub: bool) -> Declaration:
    """Return the declaration of a function definition; results of sources are read off their returns."""
    decorators = {dotted(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] for d in node.decorator_list}
    has_receiver = is_method and "staticmethod" not in decorators
    parameters = _parameters(node.args)
    receiver = parameters.pop(0) if has_receiver and parameters and parameters[0].kind != "keyword" else None
    returns = annotation_ref(node.returns)
    if node.returns is None and not is_stub:
        returns = _returned(node, receiver.name if receiver else "")
    if receiver is not None:
        returns = _with_receiver(returns, receiver.ref)
        for parameter in parameters:
            parameter.ref = _with_receiver(parameter.ref, receiver.ref)
    manager = decorators & _CONTEXT_MANAGERS.keys()
    if manager:
        returns = exact(_CONTEXT_MANAGERS[min(manager)], *returns.arguments[:1])
    elif isinstance(node, ast.AsyncFunctionDef) and not _is_generator(node, is_stub):
        returns = exact("types.CoroutineType", UNKNOWN, UNKNOWN, returns)
    return Declaration(
        DeclarationKind.FUNCTION,
        signatures=[Signature(parameters, returns)],
        is_descriptor=any(name.lower().endswith("property") or name in _DESCRIPTORS for name in decorators),
        is_overloaded="overload" in decorators,
    )


def _parameters(arguments: ast.arguments) -> list[DeclaredParameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    num_only = len(arguments.posonlyargs)
    found = []
    for index, (parameter, default) in enumerate(zip(positional, defaults)):
        is_only = index < num_only or (parameter.arg.startswith("__") and not parameter.arg.endswith("__"))
        kind = ParameterKind.POSITIONAL if is_only else ParameterKind.EITHER
        found.append(_parameter(parameter, kind, default))
    if arguments.vararg:
        found.append(_parameter(arguments.vararg, ParameterKind.VARARG, None))
    for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        found.append(_parameter(parameter, ParameterKind.KEYWORD, default))
    if arguments.kwarg:
        found.append(_parameter(arguments.kwarg, ParameterKind.KWARG, None))
    return found


def _parameter(parameter: ast.arg, kind: ParameterKind, default: ast.expr | None) -> DeclaredParameter:
    ref = annotation_ref(parameter.annotation)
    if parameter.annotation is None and default is not None:
        ref = value_ref(default) if isinstance(default, ast.Constant) and default.value is not None else UNKNOWN
    text = None if default is None else ast.unparse(default)
    if text is not None and len(text) > _MAX_DEFAULT_CHARACTERS:
        text = "..."
    return DeclaredParameter(parameter.arg, str(kind), text, ref)


def _with_receiver(ref: Ref, receiver: Ref) -> Ref:
    """Return a type in which the type variable of an annotated `self` (`self: _T`, `cls: type[_T]`) is the receiver."""
    name = receiver.name
    if name.rpartition(".")[2] in ("type", "Type") and len(receiver.arguments) == 1:
        name = receiver.arguments[0].name
    elif receiver.form is not RefForm.NAME or receiver.arguments:
        return ref
    if ref.form is RefForm.NAME and ref.name == name:
        # Classes are annotated so, too (`self: str`); there the class is the receiver's, which is as right.
        return Ref(RefForm.RECEIVER, name)
    ref.arguments = [_with_receiver(argument, receiver) for argument in ref.arguments]
    return ref


def _returned(node: Function, receiver: str) -> Ref:
    """Return the result of a function without annotation: of those of its `return` statements that are clear."""
    returns, is_generator = _scan(node)
    if is_generator:
        return exact("typing.Generator")
    if _is_abstract(node):
        return UNKNOWN
    if len(returns) > _MAX_RETURNS:
        return UNKNOWN
    local = _single_assignments(node)
    names = local_names(node)
    refs = []
    for value in returns:
        ref = value_ref(value) if value is not None else exact("types.NoneType")
        if ref.form is RefForm.VALUE and ref.name in local:
            ref = value_ref(local[ref.name])
        is_receiver = ref.form is RefForm.VALUE and ref.name == receiver
        refs.append(Ref(RefForm.RECEIVER) if is_receiver else without_names(ref, names))
    return union(refs) if refs else exact("types.NoneType")


def local_names(node: Function) -> set[str]:
    """Return the names of a function's parameters and of what it assigns or defines."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    assigned = (child.id for child in _walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store))
    defined = (s.name for s in ast.walk(node) if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))
    imported = (a.asname or a.name for s in _walk(node) if isinstance(s, ast.Import | ast.ImportFrom) for a in s.names)
    return {parameter.arg for parameter in every if parameter}.union(assigned, defined, imported) - {node.name}


def _single_assignments(node: Function) -> dict[str, ast.expr | None]:
    """Return the value of each local name; None for names that are bound otherwise or more than once."""
    values: dict[str, ast.expr | None] = {}
    counts: dict[str, int] = {}
    for child in _walk(node):
        if isinstance(child, ast.Assign) and len(child.targets) == 1 and isinstance(child.targets[0], ast.Name):
            values[child.targets[0].id] = child.value
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            counts[child.id] = counts.get(child.id, 0) + 1
    return {name: values.get(name) if count == 1 else None for name, count in counts.items()}


def _scan(node: Function) -> tuple[list[ast.expr | None], bool]:
    returns: list[ast.expr | None] = []
    is_generator = False
    for child in _walk(node):
        if isinstance(child, ast.Return):
            returns.append(child.value)
        elif isinstance(child, ast.Yield | ast.YieldFrom):
            is_generator = True
    return returns, is_generator


def _is_generator(node: Function, is_stub: bool) -> bool:
    """Whether an asynchronous function gives an iterator rather than something to wait for."""
    return not is_stub and _scan(node)[1]


def _is_abstract(node: Function) -> bool:
    """Whether the body only documents or refuses: nothing can be said about the result of what overrides it."""
    last = node.body[-1]
    if isinstance(last, ast.Raise):
        return True
    return all(_does_nothing(statement) for statement in node.body)


def _does_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _walk(node: Function) -> Iterator[ast.AST]:
    """Yield what belongs to a function itself, in source order: nothing of nested functions, classes, lambdas."""
    waiting: list[ast.AST] = list(reversed(node.body))
    while waiting:
        child = waiting.pop()
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        yield child
        waiting.extend(reversed(list(ast.iter_child_nodes(child))))
