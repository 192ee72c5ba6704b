"""Types with full paths and type arguments, as the symbol store keeps them.

In JSON a form is its path, or a list of its path and one list of forms per type argument: `dict[str, int | None]` is
`["builtins.dict", ["builtins.str"], ["builtins.int", "types.NoneType"]]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

STORE_FORMAT = "fastnode-symbols-1"
"""What a symbol store says of itself; to be raised when its rows change."""

MAX_FORMS = 8
"""Members of a union that are kept."""

RECEIVER = "~Self"
NONE = "types.NoneType"
TYPE = "builtins.type"
TUPLE = "builtins.tuple"
CALLABLE = "typing.Callable"

_ITERATED = {
    "builtins": "list tuple set frozenset dict map filter reversed",
    "collections": "deque Counter OrderedDict defaultdict ChainMap",
    "types": "GeneratorType AsyncGeneratorType",
    "typing": "Iterable Iterator Generator Sequence MutableSequence Collection Container AbstractSet MutableSet "
    "Mapping MutableMapping KeysView ValuesView Reversible AsyncIterable AsyncIterator AsyncGenerator",
}
ITERATED = frozenset(f"{module}.{name}" for module, names in _ITERATED.items() for name in names.split())
"""Classes whose first type argument is what iterating them gives."""


@dataclass(frozen=True, slots=True)
class Form:
    """An instance of the class `path`.

    Args:
        path: Canonical path of a class; `~T` for a type variable T (its argument: what it is limited to), `~Self` for
            the receiver's class.
        arguments: Its type arguments, each a union; an empty union is an unknown argument. A `builtins.type` has the
            class as its argument, a `typing.Callable` what it returns, a `builtins.tuple` its elements in order
            (or, for any number of them, one argument).
    """

    path: str
    arguments: tuple[Forms, ...] = ()

    @property
    def is_variable(self) -> bool:
        """Whether it stands for a type that is not known yet."""
        return self.path.startswith("~")


Forms: TypeAlias = tuple[Form, ...]
"""A union; empty when unknown."""


@dataclass(frozen=True, slots=True)
class ParameterForm:
    """A parameter of a signature; `kind` as in `ParameterKind`.

    `literals` are the constants, as Python writes them, that alone are allowed; empty when others are, too.
    """

    name: str
    kind: str
    default: str | None
    forms: Forms
    literals: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignatureForm:
    """One way to call a function; the receiver is no parameter."""

    parameters: tuple[ParameterForm, ...]
    returns: Forms


def join(forms: Iterable[Form]) -> Forms:
    """Return the union in the order given: no repetitions, `None` only when it is alone, at most `MAX_FORMS`."""
    distinct = list(dict.fromkeys(forms))
    if len(distinct) > 1:
        distinct = [form for form in distinct if form.path != NONE]
    return tuple(distinct[:MAX_FORMS])


def forms_to_json(forms: Forms) -> list[Any]:
    """Return a union for JSON."""
    return [_to_json(form) for form in forms]


def _to_json(form: Form) -> Any:
    return [form.path, *(forms_to_json(argument) for argument in form.arguments)] if form.arguments else form.path


def forms_from_json(values: list[Any]) -> Forms:
    """Return the union that `forms_to_json` was given."""
    return tuple(_from_json(value) for value in values)


def _from_json(value: Any) -> Form:
    if isinstance(value, str):
        return Form(value)
    return Form(value[0], tuple(forms_from_json(argument) for argument in value[1:]))
