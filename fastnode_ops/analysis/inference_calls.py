"""Calls of functions and types that the symbol store describes: type variables and results."""

from __future__ import annotations

from fastnode_ops.analysis.inference_engine import Engine
from fastnode_ops.analysis.inference_members import Members
from fastnode_ops.analysis.inference_signatures import Arguments, bind, choose
from fastnode_ops.analysis.inference_terms import Term, Terms, instance, join, to_instances, to_types
from fastnode_ops.analysis.values import ValueKind
from fastnode_ops.symbols.forms import CALLABLE, ITERATED, RECEIVER, TYPE, Form, Forms, SignatureForm
from fastnode_ops.symbols.store import Entry

_MAX_PROTOCOL_METHODS = 3


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
        return to_types(arguments.positional[0].terms())
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
