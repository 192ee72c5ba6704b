"""Calls of functions that the symbol store describes: which overload, which type variables, which result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastnode_ops.analysis.inference_members import Members
from fastnode_ops.analysis.inference_terms import NONE, Term, Terms, instance, join, to_instances
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import CALLABLE, ITERATED, RECEIVER, TYPE, Form, Forms, ParameterForm, SignatureForm
from fastnode_ops.symbols.store import Entry

_MAX_PROTOCOL_METHODS = 3


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


class Engine(Protocol):
    """What calls need of the inference, because functions and classes of the file take part."""

    members: Members

    def iterate(self, terms: Terms) -> Terms:
        """Return what iterating gives."""

    def call(self, terms: Terms, arguments: Arguments) -> Terms:
        """Return what calling gives."""

    def call_method(self, terms: Terms, name: str) -> Terms:
        """Return the known results of a method without arguments."""


def call_function(engine: Engine, term: Term, arguments: Arguments) -> Terms:
    """Return the result of a function or method of the store; `RETURN` when nothing is known about it."""
    entry = engine.members.store.entry(term.canonical)
    unknown = (Term(ValueKind.RETURN, term.path, term.canonical),)
    if entry is None or not entry.signatures:
        return unknown
    signature = choose(engine.members, entry.signatures, arguments, term.receiver)
    environment = dict(_class_environment(engine.members, term))
    solve(engine, signature, arguments, environment)
    return engine.members.instantiate(signature.returns, environment, term.receiver) or unknown


def call_type(engine: Engine, term: Term, arguments: Arguments) -> Terms:
    """Return the instance that calling a type of the store gives, with the type arguments that follow from the call."""
    if term.canonical == TYPE and len(arguments.positional) == 1:
        found = arguments.positional[0].terms()
        return tuple(
            Term(ValueKind.TYPE, t.path, t.canonical, t.arguments, t.node)
            for t in found
            if t.kind is ValueKind.INSTANCE
        )
    made = Term(ValueKind.INSTANCE, term.path, term.canonical, term.arguments)
    store = engine.members.store
    entry = store.entry(term.canonical)
    if term.arguments or entry is None or not entry.type_parameters or not (arguments.positional or arguments.keywords):
        return (made,)
    constructor = store.constructor(term.canonical)
    if constructor is None or constructor.path.rpartition(".")[0] != term.canonical or not constructor.signatures:
        return (made,)
    environment: dict[str, Terms] = {}
    signature = choose(engine.members, constructor.signatures, arguments, made)
    solve(engine, signature, arguments, environment)
    for form in signature.returns:
        if form.path == term.canonical and form.arguments:  # `def __new__(...) -> zip[tuple[T1, T2]]`
            return engine.members.instantiate((form,), environment, made)
    return (instance(term.path, *_parameters(entry, environment), canonical=term.canonical),)


def _parameters(entry: Entry, environment: dict[str, Terms]) -> list[Terms]:
    return [environment.get(parameter, ()) for parameter in entry.type_parameters]


def _class_environment(members: Members, term: Term) -> dict[str, Terms]:
    receiver = term.receiver
    if receiver is None or receiver.node is not None:
        return {}
    owner = term.canonical.rpartition(".")[0]
    return dict(members.environment(receiver.canonical, receiver.arguments, owner))


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
    if form.is_variable or term.canonical == NONE or term.node is not None:
        return True
    if term.kind is ValueKind.INSTANCE:
        return members.is_a(term.canonical, form.path)
    if term.kind is ValueKind.TYPE:
        return form.path in (TYPE, CALLABLE)
    if term.kind is ValueKind.FUNCTION:
        return form.path == CALLABLE
    return term.kind is not ValueKind.MODULE


def solve(engine: Engine, signature: SignatureForm, arguments: Arguments, environment: dict[str, Terms]) -> None:
    """Find what the type variables of a signature stand for in a call; adds them to the environment."""
    for parameter, argument in bind(signature, arguments):
        if any(_has_variable(form) for form in parameter.forms):
            _unify(engine, parameter.forms, argument.terms(), environment)


def _has_variable(form: Form) -> bool:
    return form.is_variable or any(_has_variable(inner) for argument in form.arguments for inner in argument)


def _unify(engine: Engine, forms: Forms, terms: Terms, environment: dict[str, Terms]) -> None:
    for form in forms:
        if form.is_variable and form.path != RECEIVER:
            if len(forms) == 1 or not environment.get(form.path):
                environment[form.path] = join([environment.get(form.path, ()), terms])
        elif form.path == CALLABLE:
            _unify(engine, form.arguments[0] if form.arguments else (), _called(engine, terms), environment)
        elif form.path == TYPE and form.arguments:
            _unify(engine, form.arguments[0], to_instances(terms), environment)
        elif form.arguments and any(_has_variable(inner) for argument in form.arguments for inner in argument):
            _unify_arguments(engine, form, terms, environment)


def _called(engine: Engine, terms: Terms) -> Terms:
    callables = tuple(t for t in terms if t.kind in (ValueKind.FUNCTION, ValueKind.TYPE) or t.canonical == CALLABLE)
    results = engine.call(callables, Arguments(is_open=True))
    return tuple(term for term in results if term.kind is not ValueKind.RETURN)


def _unify_arguments(engine: Engine, form: Form, terms: Terms, environment: dict[str, Terms]) -> None:
    store = engine.members.store
    entry = store.entry(form.path)
    for term in terms:
        is_stored = term.kind is ValueKind.INSTANCE and term.node is None
        if is_stored and entry is not None and form.path in store.order(term.canonical):
            own = engine.members.environment(term.canonical, term.arguments, form.path)
            for parameter, argument in zip(entry.type_parameters, form.arguments):
                _unify(engine, argument, own.get(parameter, ()), environment)
        elif form.path in ITERATED:
            _unify(engine, form.arguments[0], engine.iterate((term,)), environment)
        elif entry is not None and entry.path.startswith("_typeshed."):
            _unify_protocol(engine, entry, form, term, environment)


def _unify_protocol(engine: Engine, entry: Entry, form: Form, term: Term, environment: dict[str, Terms]) -> None:
    """Find the type arguments of a protocol by calling its methods: `SupportsNext[T]` by `__next__`."""
    if len(entry.children) > _MAX_PROTOCOL_METHODS:
        return
    own: dict[str, Terms] = {}
    for name, target in entry.children.items():
        method = engine.members.store.entry(target)
        for signature in method.signatures[:1] if method is not None else ():
            _unify(engine, signature.returns, engine.call_method((term,), name), own)
    for parameter, argument in zip(entry.type_parameters, form.arguments):
        _unify(engine, argument, own.get(parameter, ()), environment)
