"""From a task function's signature and some values to the options of its command. No Airflow in here."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ops_common.errors import ConfigError

ITEM = "{item}"
"""Stands for the item in a folder's name or another text that the tasks of many items are given."""

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def command_name(function: Callable[..., Any]) -> str:
    """The command of a task function: its name with dashes."""
    return function.__name__.replace("_", "-")


def check_arguments(
    function: Callable[..., Any], arguments: Mapping[str, Any], *, optional: Sequence[str] = ()
) -> list[str]:
    """Check that a function can be called with these arguments, as far as is known while a DAG file is parsed.

    Args:
        function: A task function.
        arguments: Values, templates (strings with `{{`) or XComs; only plain values are checked against types.
        optional: Names that the function need not have.

    Returns:
        The names of the arguments that the function takes.

    Raises:
        ConfigError: An unknown or missing argument, or a plain value of another type; names function and argument.
    """
    known = _parameters(function)
    for name, value in arguments.items():
        if name not in known and name not in optional:
            raise ConfigError(
                f"{function.__name__} has no argument {name!r}", f"its arguments: {', '.join(sorted(known))}"
            )
        if name in known and _is_plain(value):
            _convert(function, name, value, known[name])
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ConfigError(f"{function.__name__} needs the argument {name!r}", f"give {name}=...")
    return [name for name in arguments if name in known]


def command_options(function: Callable[..., Any], arguments: Mapping[str, Any]) -> list[str]:
    """The options of a function's command, one list item each; no shell ever sees them.

    Args:
        function: A task function.
        arguments: Plain values, or the strings that templates became. None leaves the option out.

    Returns:
        `--name=value` items; `--name` or `--no-name` for truth values; one item per element of a list.

    Raises:
        ConfigError: A value that the function does not take; names function and argument.
    """
    known, options = _parameters(function), list[str]()
    for name, value in arguments.items():
        if value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        converted = _convert(function, name, value, known[name])
        if isinstance(converted, bool):
            options.append(option if converted else f"--no-{option[2:]}")
        else:
            items = converted if isinstance(converted, list) else [converted]
            options.extend(f"{option}={_text(item)}" for item in items)
    return options


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    return {name: _without_none(hints[name]) for name in inspect.signature(function).parameters}


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kinds = [part for part in typing.get_args(kind) if part is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _is_plain(value: Any) -> bool:
    """Whether a value is known while the DAG is parsed: neither an XCom nor a template, nor holding one."""
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, bool | int | float) or (isinstance(value, str) and "{{" not in value)


def _convert(function: Callable[..., Any], name: str, value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is list:
        if isinstance(value, list | tuple):
            return [_convert(function, name, item, typing.get_args(kind)[0]) for item in value]
    elif (converted := _scalar(value, kind)) is not None:
        return converted
    wanted = getattr(kind, "__name__", str(kind)) if typing.get_origin(kind) is None else str(kind)
    raise ConfigError(f"{function.__name__}: argument {name!r} is {value!r}", f"it takes {wanted}")


def _scalar(value: Any, kind: Any) -> str | int | float | bool | None:
    """The value as `kind`, or None when it is not one. A template gives text, so text that says the value will do."""
    if kind is bool:
        return _truth(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if kind is str:
        return value if isinstance(value, str) else None
    try:
        return int(value) if kind is int and not isinstance(value, float) else _whole_or_float(value, kind)
    except ValueError:
        return None


def with_item(arguments: Mapping[str, Any], name: str, item: Any) -> dict[str, Any]:
    """The arguments of the task of one item: the item under its name, and in every text that has a place for it."""
    texts = {key: value.replace(ITEM, str(item)) for key, value in arguments.items() if isinstance(value, str)}
    return {**arguments, **texts, name: item}


def is_true(value: Any) -> bool:
    """Whether a truth value, or the text that a template made of one, says yes.

    Raises:
        ConfigError: It says neither yes nor no.
    """
    truth = _truth(value)
    if truth is None:
        raise ConfigError(f"{value!r} says neither yes nor no", f"one of {', '.join((*_TRUE, *_FALSE))}")
    return truth


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _whole_or_float(value: str | float, kind: Any) -> int | float | None:
    number = float(value)
    if kind is float:
        return number
    return int(number) if kind is int and number.is_integer() else None


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
