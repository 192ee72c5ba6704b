"""A small program with absl flags: parse, run, and turn errors into messages and exit codes.

For the tools whose flags are part of the public interface; the tasks of the workflows are commands of
`ops_common.cli` instead.
"""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags

from ops_common.errors import Interrupted, OpsError, Terminated, UsageError


def run_program(
    name: str, define_flags: Callable[[], None], run: Callable[[], None], argv: Sequence[str] | None = None
) -> int:
    """Runs a program.

    Args:
        name: What messages begin with.
        define_flags: Declares the flags on `flags.FLAGS`.
        run: Does the work; reads `flags.FLAGS`.
        argv: Command line with the program's name first; by default that of the process.

    Returns:
        The exit code: 0, or that of the error.
    """

    def parse_and_run() -> None:
        _parse(define_flags, list(sys.argv if argv is None else argv))
        run()

    return run_guarded(name, parse_and_run)


def run_guarded(name: str, action: Callable[[], None]) -> int:
    """Runs an action and turns its errors into a message and an exit code, which is returned."""
    try:
        # So that SIGTERM unwinds like an error, and temporary files go.
        signal.signal(signal.SIGTERM, _interrupt)
        action()
    except OpsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted, nothing was written", file=sys.stderr)
        return Interrupted.exit_code
    return 0


def _parse(define_flags: Callable[[], None], argv: list[str]) -> None:
    app.define_help_flags()
    define_flags()
    try:
        left = flags.FLAGS(argv)
    except flags.Error as error:
        raise UsageError(str(error), "--help lists the flags") from None
    if len(left) > 1:
        raise UsageError(f"not a flag: {left[1]!r}", "write --name=value, or --name value")


def _interrupt(signal_number: int, _frame: types.FrameType | None) -> NoReturn:
    raise Terminated(f"stopped by {signal.Signals(signal_number).name}, nothing was written")
