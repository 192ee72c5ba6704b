"""Removes risky instructions from blocks: `python -m gematria_ops.process_and_filter_bbs --input-file=... ...`.

Input and output have one block a line, in hexadecimal digits; line n of the output is what is left of line n of the
input, possibly nothing. Flags as in the public tool of this name. Exit codes: 0 done, 2 wrong flags, 4 bad data, 130
after a signal; nothing is written unless it is 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gematria_ops.config.program import run_guarded
from gematria_ops.data.risky_instructions import BBProcessorFilter
from gematria_ops.formats.bhive_csv import MAX_LINE_BYTES, read_lines
from ops_common.artifacts import atomic_path
from ops_common.errors import DataError

PROGRAM = "process_and_filter_bbs"

__all__ = ["BBProcessorFilter", "main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM, description=(__doc__ or "").partition(":")[0], allow_abbrev=False)
    # One dash or two, as with all tools of LLVM's style.
    parser.add_argument(
        "--input-file", "-input-file", type=Path, required=True, help="blocks in hexadecimal digits, one a line"
    )
    parser.add_argument("--output-file", "-output-file", type=Path, required=True, help="what is left of each")
    parser.add_argument(
        "--filter-memory-accessing-blocks",
        "-filter-memory-accessing-blocks",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="remove every instruction that may load or store as well",
    )
    parser.add_argument(
        "--report-progress-every",
        "-report-progress-every",
        type=_positive,
        metavar="N",
        help="say so after each N blocks (default: never)",
    )
    return parser


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _run(arguments: argparse.Namespace) -> None:
    block_filter = BBProcessorFilter()
    num_blocks = num_emptied = 0
    with atomic_path(arguments.output_file) as temporary, temporary.open("w", encoding="ascii") as output:
        for line_number, line in enumerate(read_lines(arguments.input_file), start=1):
            where = f"{arguments.input_file}, line {line_number}"
            if line is None:
                raise DataError(f"{where}: longer than {MAX_LINE_BYTES} bytes", "give one block a line")
            # Not UTF-8 or not: what is no hexadecimal digit is refused in any case.
            text = line.decode("utf-8", "backslashreplace").strip()
            left = block_filter.remove_risky_instructions(text, where, arguments.filter_memory_accessing_blocks)
            output.write(f"{left}\n")
            num_blocks += 1
            num_emptied += not left
            if arguments.report_progress_every and num_blocks % arguments.report_progress_every == 0:
                print(f"{num_blocks} blocks processed", file=sys.stderr)
    print(f"{num_blocks} blocks written to {arguments.output_file}, {num_emptied} of them empty", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    arguments = _parser().parse_args(None if argv is None else argv[1:])
    return run_guarded(PROGRAM, lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
