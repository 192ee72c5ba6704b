"""What `--help` says beside the options: groups of commands, and an example of each."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typer.core import TyperGroup

OTHER_COMMANDS = "More commands"


@dataclass(frozen=True, slots=True)
class HelpTexts:
    """Groups and examples of a library's commands; what a library does not say is made up from the signatures.

    Attributes:
        groups: Names of task functions by the title of their group, in the order of the help.
        examples: A command line by the name of the task function, without the program and the command.
        first_steps: Pairs of a short text and a command line, at the end of the overview.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    first_steps: Sequence[tuple[str, str]] = ()

    def group_of(self, name: str) -> str:
        """The title of the group that a task function belongs to."""
        return next((title for title, names in self.groups.items() if name in names), OTHER_COMMANDS)

    def in_order(self, tasks: Sequence[Callable[..., Any]]) -> list[Callable[..., Any]]:
        """Task functions in the order of the groups, those of no group last."""
        order = [name for names in self.groups.values() for name in names]
        return sorted(tasks, key=lambda task: order.index(task.__name__) if task.__name__ in order else len(order))

    def example_of(self, task: Callable[..., Any]) -> str:
        """An example of a command: the one that was written, or its required options with their names as values."""
        if task.__name__ in self.examples:
            return self.examples[task.__name__]
        hints = typing.get_type_hints(task)
        needed = [one.name for one in inspect.signature(task).parameters.values() if one.default is one.empty]
        return " ".join(f"--{name.replace('_', '-')} {_made_up(name, hints.get(name))}".strip() for name in needed)


def _made_up(name: str, kind: Any) -> str:
    """A value of an option that is understood: a number where one is wanted, nothing behind a switch."""
    return {bool: "", int: "1", float: "1.0"}.get(kind, name.upper())


def group_with_examples(first_steps: Sequence[tuple[str, str]], lines: Sequence[tuple[str, str]]) -> type[TyperGroup]:
    """A group of commands whose help ends with examples.

    Args:
        first_steps: Pairs of a short text and a command line.
        lines: Pairs of a group's title and one example of a command in it, as a whole line.
    """

    class Group(TyperGroup):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            """Prints Typer's help, then the examples."""
            super().format_help(ctx, formatter)
            if lines:
                _print_panel("An example of each command", _grouped(lines))
            if first_steps:
                _print_panel("Examples", [(what, [line]) for what, line in first_steps])

    return Group


def _grouped(lines: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for title, line in lines:
        found.setdefault(title, []).append(line)
    return list(found.items())


def _print_panel(title: str, parts: Sequence[tuple[str, Sequence[str]]]) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    text = Text()
    for index, (what, lines) in enumerate(parts):
        text.append("\n\n" if index else "")
        text.append(what, style="dim")
        for line in lines:
            text.append(f"\n  {line}", style="bold")
    Console().print(Panel(text, title=title, title_align="left", border_style="dim"))
