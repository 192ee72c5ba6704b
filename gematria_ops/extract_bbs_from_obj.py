"""Prints the basic blocks of an object file: `python -m gematria_ops.extract_bbs_from_obj [object file]`.

The object must have basic block address maps, which clang writes with `-fbasic-block-address-map` (before clang 19:
`-fbasic-block-sections=labels`). One block a line, in upper-case hex, by address; notes go to standard error. Without
an argument, or with `-`, standard input is read.

Exit codes: 0 done, 2 wrong arguments, 4 bad data, 130 after a signal.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gematria_ops.config.program import run_guarded
from gematria_ops.data.block_extraction import extract_blocks, get_basic_block_hex_values
from gematria_ops.formats.binary_input import open_content
from ops_common.errors import DataError

__all__ = ["get_basic_block_hex_values", "main", "run"]

PROGRAM = "extract_bbs_from_obj"

_STANDARD_INPUT = "-"
# An object without debug information has a few hundred megabytes at most.
_MAX_INPUT_BYTES = 1 << 32


def run(object_file: str) -> None:
    """Prints the blocks of an object file; `-` is standard input."""
    if object_file == _STANDARD_INPUT:
        content = sys.stdin.buffer.read(_MAX_INPUT_BYTES + 1)
        if len(content) > _MAX_INPUT_BYTES:
            raise DataError(f"standard input is larger than {_MAX_INPUT_BYTES} bytes", "give the name of a file")
        extracted = extract_blocks(content, "standard input")
    else:
        with open_content(Path(object_file)) as mapped:
            extracted = extract_blocks(mapped, object_file)
    for name in extracted.sections_without_map:
        print(f"{PROGRAM}: no basic block address map for section {name}", file=sys.stderr)
    if extracted.num_empty:
        print(f"{PROGRAM}: {extracted.num_empty} blocks without a byte were left out", file=sys.stderr)
    _print_lines(extracted.hex_values)


def _print_lines(lines: Sequence[str]) -> None:
    try:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough (`| head`). What is left in the buffer must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    parser = argparse.ArgumentParser(PROGRAM, description="Prints the basic blocks of an object file as hex.")
    parser.add_argument("object_file", nargs="?", default=_STANDARD_INPUT, help="ELF file; - is standard input")
    arguments = parser.parse_args(None if argv is None else list(argv[1:]))
    return run_guarded(PROGRAM, lambda: run(arguments.object_file))


if __name__ == "__main__":
    sys.exit(main())
