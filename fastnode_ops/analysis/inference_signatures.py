"""Which signature of a function of the symbol store a call is meant for, and which argument goes where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastnode_ops.analysis.inference_members import Members
from fastnode_ops.analysis.inference_terms import NONE, Term, Terms
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import CALLABLE, RECEIVER, TYPE, Form, ParameterForm, SignatureForm


class Argument(Protocol):
    """An argument of a call; evaluated when it is asked."""

    def terms(self) -> Terms:
        """Return what it may be."""

    def literal(self) -> str:
        """Return the constant that it is, as Python writes it; empty if it is none."""


@dataclass(frozen=True, slots=True)
class KnownArgument:
    """An argument that no expression stands for, such as the other operand of an operator."""

    value: Terms

    def terms(self) -> Terms:
        """Return what it may be."""
        return self.value

    def literal(self) -> str:
        """Return nothing: it is no constant."""
        return ""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call.

    Args:
        positional: By position, as far as no `*args` comes before.
        keywords: By name.
        is_open: Whether there are more that cannot be told apart (`*args`, `**kwargs`).
    """

    positional: Sequence[Argument] = ()
    keywords: dict[str, Argument] = field(default_factory=dict)
    is_open: bool = False


NO_ARGUMENTS = Arguments()


def known_arguments(terms: Terms) -> Arguments:
    """Return one positional argument; none when there are no terms."""
    return Arguments([KnownArgument(terms)]) if terms else NO_ARGUMENTS


def choose(
    members: Members, signatures: Sequence[SignatureForm], arguments: Arguments, receiver: Term | None
) -> SignatureForm:
    """Return the first signature that the arguments may be meant for; the first of all if there is none."""
    if len(signatures) == 1:
        return signatures[0]
    candidates = [signature for signature in signatures if _fits_shape(signature, arguments)] or list(signatures)
    for signature in candidates:
        if all(_accepts(members, parameter, argument, receiver) for parameter, argument in bind(signature, arguments)):
            return signature
    return candidates[0]


def bind(signature: SignatureForm, arguments: Arguments) -> list[tuple[ParameterForm, Argument]]:
    """Return the parameters that are given, each with its argument."""
    found = []
    positional = [p for p in signature.parameters if p.kind in ("positional", "either", "vararg")]
    for index, argument in enumerate(arguments.positional):
        at = min(index, len(positional) - 1)
        if at >= 0 and (index < len(positional) or positional[at].kind == "vararg"):
            found.append((positional[at], argument))
    named = {p.name: p for p in signature.parameters if p.kind in ("either", "keyword")}
    for name, argument in arguments.keywords.items():
        if name in named:
            found.append((named[name], argument))
    return found


def _fits_shape(signature: SignatureForm, arguments: Arguments) -> bool:
    kinds = {parameter.kind for parameter in signature.parameters}
    positional = [p for p in signature.parameters if p.kind in ("positional", "either")]
    if len(arguments.positional) > len(positional) and "vararg" not in kinds:
        return False
    names = {p.name for p in signature.parameters if p.kind in ("either", "keyword")}
    if "kwarg" not in kinds and any(name not in names for name in arguments.keywords):
        return False
    if arguments.is_open:
        return True
    required = [p for p in positional[len(arguments.positional) :] if p.default is None]
    required += [p for p in signature.parameters if p.kind == "keyword" and p.default is None]
    return all(p.name in arguments.keywords for p in required)


def _accepts(members: Members, parameter: ParameterForm, argument: Argument, receiver: Term | None) -> bool:
    """Whether a parameter may take an argument; what is not known may."""
    if parameter.literals:
        return argument.literal() in parameter.literals
    if not parameter.forms:
        return True
    terms = argument.terms()
    return not terms or any(_is_accepted(members, form, term, receiver) for form in parameter.forms for term in terms)


def _is_accepted(members: Members, form: Form, term: Term, receiver: Term | None) -> bool:
    if form.path == RECEIVER and receiver is not None and receiver.node is None and term.node is None:
        return term.kind is not ValueKind.INSTANCE or members.is_a(term.canonical, receiver.canonical)
    if form.is_variable and form.arguments:
        return any(_is_accepted(members, limit, term, receiver) for limit in form.arguments[0])
    if form.is_variable or term.canonical == NONE or term.node is not None:
        return True
    if term.kind is ValueKind.INSTANCE:
        return members.is_a(term.canonical, form.path)
    if term.kind is ValueKind.TYPE:
        return form.path in (TYPE, CALLABLE)
    if term.kind is ValueKind.FUNCTION:
        return form.path == CALLABLE
    return term.kind is not ValueKind.MODULE
