"""Following names from file to file: imports, stars, aliases, members of classes."""

from __future__ import annotations

from collections.abc import Mapping

from fastnode_ops.symbols.declarations import Declaration, DeclarationKind, Ref, RefForm
from fastnode_ops.symbols.hierarchy import linearize

BUILTINS = "builtins"

MODULE_ALIASES = {"os.path": "posixpath", "tensorflow.keras": "keras"}
"""Modules that are another one under a second name: one that stubs describe twice, one that is loaded when used."""

_MAX_FOLLOWED = 24


class Names:
    """All declarations by their full path, and the look-up of names in them."""

    def __init__(self, modules: Mapping[str, Declaration]) -> None:
        self.modules = modules
        self.nodes: dict[str, Declaration] = {}
        self.scope_of: dict[str, str] = {}
        """For each path the module or class in whose scope its types are written."""
        self._members: dict[tuple[str, str], str | None] = {}
        self._following: set[tuple[str, str]] = set()
        self._orders: dict[str, list[str]] = {}
        self._submodules: dict[str, list[str]] = {}
        for name in sorted(modules):
            parent, _, last = name.rpartition(".")
            self._submodules.setdefault(parent, []).append(last)
            self._register(name, modules[name], name)
        for name, target in sorted(MODULE_ALIASES.items()):
            parent, _, last = name.rpartition(".")
            if target in modules and name not in modules and parent in modules:
                self._submodules.setdefault(parent, []).append(last)

    def _register(self, path: str, declaration: Declaration, scope: str) -> None:
        self.nodes[path] = declaration
        self.scope_of[path] = scope
        for name, member in declaration.members.items():
            member_path = f"{path}.{name}"
            if member_path not in self.modules:
                self._register(member_path, member, path)

    def submodules(self, module: str) -> list[str]:
        """Return the last parts of the names of a package's modules."""
        return self._submodules.get(module, [])

    def member(self, parent: str, name: str) -> str | None:
        """Return the canonical path of a module's or class's member, also an inherited one; None if there is none."""
        key = (parent, name)
        if key in self._members:
            return self._members[key]
        if key in self._following or len(self._following) > _MAX_FOLLOWED:
            # `from . import x as x` within a package: the name that is being followed means the module.
            return self._submodule(parent, name)
        self._following.add(key)
        try:
            found = self._find_member(parent, name)
        finally:
            self._following.discard(key)
        if not self._following:
            self._members[key] = found  # what is found while others are being followed may lack their part
        return found

    def _find_member(self, parent: str, name: str) -> str | None:
        declaration = self.nodes.get(parent)
        if declaration is None:
            return None
        if name in declaration.members:
            path = f"{parent}.{name}"
            member = declaration.members[name]
            if member.kind is not DeclarationKind.ALIAS:
                return MODULE_ALIASES.get(path, path)
            return self.alias_target(member.ref, parent) or self._submodule(parent, name) or path
        if declaration.kind is DeclarationKind.MODULE:
            return self._submodule(parent, name) or self._starred(declaration, name)
        if declaration.kind is DeclarationKind.CLASS:
            return self._inherited(parent, name)
        if declaration.kind is DeclarationKind.OBJECT and (type_path := self._class_of(parent, declaration.ref)):
            return self.member(type_path, name)
        return None

    def _class_of(self, path: str, ref: Ref) -> str | None:
        """Return the class of a variable, if it is plainly given: `seed = _instance.seed` means a method."""
        if ref.name.rpartition(".")[2] in ("Final", "ClassVar") and len(ref.arguments) == 1:
            ref = ref.arguments[0]
        if ref.form not in (RefForm.NAME, RefForm.CALL):
            return None
        found = self.scoped(self.scope_of[path], ref.name)
        return found if found is not None and self.is_class(found) else None

    def _submodule(self, parent: str, name: str) -> str | None:
        path = f"{parent}.{name}"
        path = MODULE_ALIASES.get(path, path)
        return path if path in self.modules else None

    def _starred(self, declaration: Declaration, name: str) -> str | None:
        for source in declaration.stars:
            module = self.modules.get(source)
            if module is not None and (name in self.public_names(source)):
                return self.member(source, name)
        return None

    def _inherited(self, path: str, name: str) -> str | None:
        for base in self.order(path)[1:]:
            node = self.nodes.get(base)
            if node is not None and name in node.members:
                return self.member(base, name)
        return None

    def public_names(self, module: str, depth: int = 0) -> set[str]:
        """Return what `from module import *` brings."""
        declaration = self.modules.get(module)
        if declaration is None or depth > _MAX_FOLLOWED:
            return set()
        if declaration.exports is not None:
            return set(declaration.exports)
        members = declaration.members.items()
        names = {name for name, member in members if name[0] != "_" and _is_public(member, declaration)}
        for source in declaration.stars:
            names |= self.public_names(source, depth + 1)
        return names

    def alias_target(self, ref: Ref, scope: str) -> str | None:
        """Return what an alias in a scope (module or class path) stands for; None if that is not known."""
        return self.absolute(ref.name) if ref.form is RefForm.EXACT else self.scoped(scope, ref.name)

    def absolute(self, path: str) -> str | None:
        """Return the canonical path of a full path."""
        first, *rest = path.split(".")
        if first not in self.modules:
            return None
        return self._descend(first, rest)

    def scoped(self, scope: str, dotted: str) -> str | None:
        """Return the canonical path of a name that is written in the scope of a module or class."""
        first, *rest = dotted.split(".")
        start = None
        while start is None and scope:
            node = self.nodes.get(scope)
            if node is not None and (node.kind is DeclarationKind.MODULE or first in node.members):
                start = self.member(scope, first)
            if node is not None and node.kind is DeclarationKind.MODULE:
                break
            scope = scope.rpartition(".")[0]
        start = start or self.member(BUILTINS, first)
        return None if start is None else self._descend(start, rest)

    def _descend(self, path: str, rest: list[str]) -> str | None:
        current: str | None = path
        for name in rest:
            if current is None:
                return None
            current = self.member(current, name)
        return current

    def order(self, path: str) -> list[str]:
        """Return a class and its bases in the order of search."""
        if path not in self._orders:
            self._orders[path] = [path]  # while it is found, the class has no bases
            self._orders[path] = linearize(path, self.bases)
        return self._orders[path]

    def bases(self, path: str) -> list[str]:
        """Return the canonical paths of a class's direct bases, as far as they are known."""
        node = self.nodes.get(path)
        if node is None or node.kind is not DeclarationKind.CLASS:
            return []
        scope = self.scope_of[path]
        found = (self.alias_target(ref, scope) for ref in node.bases if ref.name)
        return [base for base in found if base is not None and self.is_class(base) and base != path]

    def is_class(self, path: str) -> bool:
        """Whether a canonical path is a class."""
        node = self.nodes.get(path)
        return node is not None and node.kind is DeclarationKind.CLASS


def _is_public(member: Declaration, module: Declaration) -> bool:
    return member.is_exported or (not module.is_stub and member.kind is DeclarationKind.ALIAS)
