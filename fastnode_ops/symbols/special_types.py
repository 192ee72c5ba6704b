"""Names of `typing` that are no classes: what they mean in an annotation."""

from __future__ import annotations

from fastnode_ops.symbols.forms import CALLABLE, RECEIVER, TUPLE, TYPE

TYPING = frozenset({"typing", "typing_extensions", "_typeshed"})
"""Modules whose names these are."""

WRAPPERS = frozenset({"ClassVar", "Final", "Required", "NotRequired", "ReadOnly", "Annotated", "Unpack", "InitVar"})
"""Their first argument is the type."""

NOTHING = frozenset({"Any", "NoReturn", "Never", "Literal", "Concatenate", "Generic", "Protocol", "Incomplete"})
"""They say nothing about the type."""

RENAMED = {
    "Tuple": TUPLE,
    "Type": TYPE,
    "List": "builtins.list",
    "Dict": "builtins.dict",
    "Set": "builtins.set",
    "FrozenSet": "builtins.frozenset",
    "DefaultDict": "collections.defaultdict",
    "OrderedDict": "collections.OrderedDict",
    "Counter": "collections.Counter",
    "ChainMap": "collections.ChainMap",
    "Deque": "collections.deque",
    "Callable": CALLABLE,
    "TypeGuard": "builtins.bool",
    "TypeIs": "builtins.bool",
    "LiteralString": "builtins.str",
    "Self": RECEIVER,
}
"""They stand for this class, or for the receiver's."""

MARKERS = frozenset({"typing._Alias", "typing._SpecialForm", "typing_extensions._SpecialForm"})
"""Types that stubs give to these names."""
