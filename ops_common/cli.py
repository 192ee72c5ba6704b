"""Task functions as commands.

A task function is a plain function with keyword-only arguments of type str, int, float, bool or list[str] that returns
a flat dict of the same. Its command has its name with dashes, an option per argument with the text of the docstring's
Args section as help, and `--result-file`. So a command and the task of a DAG cannot drift apart: they are one function.

Logs go to standard error. Standard output carries nothing but the result, as one line of JSON. The exit status is that
of the error (`ops_common.errors`), 2 for a wrong command line, 130 after a signal, 1 for a bug of ours.
"""

from __future__ import annotations

import atexit
import inspect
import json
import logging
import math
import os
import re
import signal
import sys
import threading
import traceback
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from ops_common.artifacts import NO_ROOM, json_default, write_json
from ops_common.cli_help import HelpTexts, group_with_examples
from ops_common.errors import Interrupted, NoRoomError, OpsError
from ops_common.log_lines import JsonLines, context_of, is_json_asked
from ops_common.run_record import NOT_RECORDED, RECORD_NAME, Command, recorded

Task = Callable[..., Mapping[str, Any]]

_SCALARS = (str, int, float, bool)
_BUG_STATUS = 1
_TALKATIVE = ("httpx", "botocore")  # they tell each request, and where each key was found


def build_cli(name: str, tasks: Sequence[Task], *, about: str = "", texts: HelpTexts | None = None) -> typer.Typer:
    """Makes the application whose commands are task functions.

    Args:
        name: What the application is called.
        tasks: The task functions.
        about: What the application is for, in a sentence or two.
        texts: Their groups, in the order of the help, and an example of each.

    Returns:
        The application; call it to run the command named on the command line.

    Raises:
        TypeError: A function does not have the form of a task function.
    """
    told = texts or HelpTexts()
    ordered = told.in_order(tasks)
    calls = {task.__name__: f"python -m {name.replace('-', '_')} {command_name(task)}" for task in tasks}
    lines = {task.__name__: f"{calls[task.__name__]} {told.example_of(task)}".strip() for task in tasks}
    overview = [(told.group_of(task.__name__), lines[task.__name__]) for task in ordered] if texts else []
    app = typer.Typer(
        name=name,
        help=about or None,
        cls=group_with_examples(told.first_steps, overview),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"]},
    )

    @app.callback()
    def configure() -> None:
        _log_to_stderr()

    for task in ordered:
        app.command(
            command_name(task),
            help=_escaped(summary(task)),
            rich_help_panel=told.group_of(task.__name__) if told.groups else None,
            epilog=f"Example: [bold]{_escaped(lines[task.__name__])}[/bold]",
        )(_command(task))
    return app


def command_name(task: Task) -> str:
    """The command of a task function: its name with dashes."""
    return task.__name__.replace("_", "-")


def run_task(task: Task, arguments: Mapping[str, Any], result_file: Path | None = None) -> int:
    """Runs a task function as a command does: result to standard output, errors to standard error.

    Args:
        task: The task function.
        arguments: Its arguments.
        result_file: Where to write the result as JSON as well; an older file there is removed before the task starts.

    Returns:
        The exit status.
    """
    try:
        with _only_the_result_on_stdout():
            if result_file is not None:
                result_file.unlink(missing_ok=True)
            with _sigterm_unwinds(), _recorded(task, arguments, result_file):
                result = _plain_result(task, task(**arguments))
            if result_file is not None:
                write_json(result_file, result)
    except OpsError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail(Interrupted(f"{command_name(task)} was interrupted", "run it again to continue"))
    except OSError as error:
        if error.errno not in NO_ROOM:
            traceback.print_exc()
            return _BUG_STATUS
        return _fail(NoRoomError(f"{command_name(task)}: {error}", "make room, then run it again"))
    except Exception:
        traceback.print_exc()
        return _BUG_STATUS
    sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
    return 0


def _recorded(task: Task, arguments: Mapping[str, Any], result_file: Path | None) -> AbstractContextManager[None]:
    """Keeps the command in the record of the run that it belongs to; of none, nothing is kept."""
    name, folder = task.__name__, arguments.get("run_dir") or arguments.get("work_dir")
    if result_file is not None and (result_file.parent.parent / RECORD_NAME).is_file():
        # a task of a workflow, whose first task has begun the record: results/<task>.json
        name, folder = result_file.stem, result_file.parent.parent
    if not folder or name in NOT_RECORDED:
        return nullcontext()
    library = task.__module__.partition(".")[0]
    return recorded(Command(Path(str(folder)), name, library, task.__name__, arguments))


def summary(task: Task) -> str:
    """The first line of a task function's docstring."""
    return (inspect.getdoc(task) or "").partition("\n")[0].strip()


def argument_descriptions(task: Task) -> dict[str, str]:
    """The texts of the Args section of a task function's docstring, by argument, each on one line."""
    found: dict[str, str] = {}
    in_section, current = False, ""
    for line in (inspect.getdoc(task) or "").splitlines():
        if not line.startswith(" "):
            in_section, current = line.strip() == "Args:", ""
        elif in_section and (match := re.match(r" {4}(\w+)(?: \([^)]*\))?: *(.*)", line)):
            current = match[1]
            found[current] = match[2].strip()
        elif in_section and current:
            found[current] = f"{found[current]} {line.strip()}".strip()
    return found


def _command(task: Task) -> Callable[..., None]:
    """A function whose signature Typer can read: one option per argument, and the result file."""
    hints, texts = typing.get_type_hints(task), argument_descriptions(task)
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(task).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.name == "result_file":
            raise TypeError(f"{task.__name__}: argument {parameter.name!r} must be keyword-only, and not 'result_file'")
        kind = hints.get(parameter.name)
        plain = _checked_kind(task, parameter.name, kind)
        default = ... if parameter.default is parameter.empty else parameter.default
        flag = "--" + parameter.name.replace("_", "-")
        flags = f"{flag}/--no-{flag[2:]}" if plain is bool else flag
        text = _escaped(texts.get(parameter.name, ""))
        if plain == list[str]:
            text += " (give the option once for each value)"
        option = typer.Option(default, flags, help=text, show_default=default not in (None, "", [], ...))
        parameters.append(parameter.replace(default=option, annotation=kind))
    result_option = typer.Option(None, "--result-file", help="Write the result here as well, as JSON.")
    parameters.append(
        inspect.Parameter("result_file", inspect.Parameter.KEYWORD_ONLY, default=result_option, annotation=Path | None)
    )

    def command(**arguments: Any) -> None:
        result_file = arguments.pop("result_file")
        raise typer.Exit(run_task(task, arguments, result_file))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _checked_kind(task: Task, name: str, kind: Any) -> Any:
    """Returns an argument's type without `| None`; refuses what a command line cannot say."""
    plain = kind
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        plain = parts[0] if len(parts) == 1 else kind
    if plain not in _SCALARS and plain != list[str]:
        raise TypeError(f"{task.__name__}: argument {name!r} is {kind}; it must be str, int, float, bool or list[str]")
    return plain


def _plain_result(task: Task, result: Any) -> dict[str, Any]:
    if not isinstance(result, Mapping):
        raise TypeError(f"{task.__name__} returned {type(result).__name__}, not a dict")
    # JSON has no NaN and no infinity; whoever reads the result sees that there is no number.
    return {str(name): _plain_value(value) for name, value in result.items()}


def _plain_value(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool | None | list):
        value = json_default(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fail(error: OpsError) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return error.exit_code


@contextmanager
def _only_the_result_on_stdout() -> Iterator[None]:
    """Sends to standard error whatever is printed meanwhile, also by libraries in C and by child processes."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Lets SIGTERM unwind the task like Ctrl-C, so that temporary files go; a task may set its own handler."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _LevelFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Returns the message; its level stands before it unless it is a plain piece of information."""
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def _log_to_stderr() -> None:
    if is_json_asked():
        sys.stderr = JsonLines(sys.stderr, context_of())
        atexit.register(sys.stderr.end)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # no remarks about the processor


def _escaped(text: str) -> str:
    # Square brackets are markup to rich; a docstring means them as they are.
    return text.replace("[", r"\[")
