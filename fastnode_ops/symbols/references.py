"""Types as one file writes them: annotations, and the values whose type can be read off."""

from __future__ import annotations

import ast
from collections.abc import Set

from fastnode_ops.symbols.declarations import UNKNOWN, Ref, RefForm

_MAX_DEPTH = 12

_DISPLAYS: dict[type[ast.expr], str] = {
    ast.List: "builtins.list",
    ast.ListComp: "builtins.list",
    ast.Set: "builtins.set",
    ast.SetComp: "builtins.set",
    ast.Dict: "builtins.dict",
    ast.DictComp: "builtins.dict",
    ast.GeneratorExp: "types.GeneratorType",
    ast.JoinedStr: "builtins.str",
    ast.Compare: "builtins.bool",
    ast.Lambda: "types.FunctionType",
}


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for names and attributes of names, else an empty string."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def exact(path: str, *arguments: Ref) -> Ref:
    """Return the instance of the class with this full path."""
    return Ref(RefForm.EXACT, path, list(arguments))


def union(refs: list[Ref]) -> Ref:
    """Return any of several."""
    return refs[0] if len(refs) == 1 else Ref(RefForm.UNION, "", refs)


def annotation_ref(node: ast.expr | None, depth: int = 0) -> Ref:
    """Return the type that an annotation names; names stay as written."""
    if node is None or depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(node, ast.Constant):
        return _constant_annotation(node, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return union([annotation_ref(node.left, depth + 1), annotation_ref(node.right, depth + 1)])
    if isinstance(node, ast.Subscript):
        return _subscript(node, depth)
    name = dotted(node)
    return Ref(RefForm.NAME, name) if name else UNKNOWN


def _constant_annotation(node: ast.Constant, depth: int) -> Ref:
    if node.value is None:
        return exact("types.NoneType")
    if node.value is Ellipsis:
        return exact("...")
    if not isinstance(node.value, str):
        return UNKNOWN
    try:
        return annotation_ref(ast.parse(node.value.strip(), mode="eval").body, depth + 1)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNKNOWN


def _subscript(node: ast.Subscript, depth: int) -> Ref:
    name = dotted(node.value)
    if not name:
        return UNKNOWN
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    last = name.rpartition(".")[2]
    if last == "Literal":
        return union([_literal(part) for part in parts])
    if last == "Annotated":
        return annotation_ref(parts[0], depth + 1)
    if last == "Callable":
        return Ref(RefForm.NAME, name, [annotation_ref(parts[-1], depth + 1)])
    return Ref(RefForm.NAME, name, [annotation_ref(part, depth + 1) for part in parts])


def _literal(node: ast.expr) -> Ref:
    ref = value_ref(node)
    if ref.form is not RefForm.EXACT:
        return ref  # a member of an enumeration
    return Ref(RefForm.LITERAL, ref.name, [Ref(RefForm.LITERAL, ast.unparse(node))])


def value_ref(node: ast.expr | None, depth: int = 0) -> Ref:
    """Return the type of a value as far as its form tells: constants, displays, calls of a name, names."""
    if node is None or depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(node, ast.Constant):
        return exact("types.EllipsisType" if node.value is Ellipsis else _constant_path(node.value))
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        return Ref(RefForm.CALL, name) if name else UNKNOWN
    if isinstance(node, ast.Name | ast.Attribute):
        name = dotted(node)
        return Ref(RefForm.VALUE, name) if name else UNKNOWN
    return _composed_ref(node, depth)


def without_names(ref: Ref, names: Set[str]) -> Ref:
    """Return a type in which what depends on these names is unknown: those of a function mean nothing outside of it."""
    if ref.form in (RefForm.VALUE, RefForm.CALL) and ref.name.partition(".")[0] in names:
        return UNKNOWN
    ref.arguments = [without_names(argument, names) for argument in ref.arguments]
    return ref


def _constant_path(value: object) -> str:
    return "types.NoneType" if value is None else f"builtins.{type(value).__name__}"


def _composed_ref(node: ast.expr, depth: int) -> Ref:
    if isinstance(node, ast.IfExp):
        return union([value_ref(node.body, depth + 1), value_ref(node.orelse, depth + 1)])
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return union([value_ref(value, depth + 1) for value in node.values])
    if isinstance(node, ast.UnaryOp):
        return exact("builtins.bool") if isinstance(node.op, ast.Not) else value_ref(node.operand, depth + 1)
    if isinstance(node, ast.BinOp):
        return _binary_ref(node, depth)
    if isinstance(node, ast.Tuple):
        return exact("builtins.tuple", *(value_ref(item, depth + 1) for item in node.elts[:8]))
    if isinstance(node, ast.List | ast.Set) and node.elts:
        return exact(_DISPLAYS[type(node)], union([value_ref(item, depth + 1) for item in node.elts[:8]]))
    path = _DISPLAYS.get(type(node))
    return exact(path) if path else UNKNOWN


def _binary_ref(node: ast.BinOp, depth: int) -> Ref:
    left, right = value_ref(node.left, depth + 1), value_ref(node.right, depth + 1)
    if left.form is RefForm.EXACT and isinstance(node.op, ast.Mod) and left.name == "builtins.str":
        return left
    known = {left.name, right.name} if left.form is right.form is RefForm.EXACT else set()
    if len(known) == 1 and known <= {"builtins.str", "builtins.int", "builtins.list", "builtins.bytes"}:
        is_division = isinstance(node.op, ast.Div) and known == {"builtins.int"}
        return exact("builtins.float") if is_division else exact(left.name)
    if known == {"builtins.int", "builtins.float"}:
        return exact("builtins.float")
    return UNKNOWN
