"""Collects the tokens of TFRecord files: `python -m gematria_ops.extract_tokens_file --gematria_input_tfrecord=...`.

Writes every token that occurs, sorted, one a line; structural tokens only where they occur. The flags are those of the
public tool of this name. Exit codes: 0 done, 2 wrong flags, 4 bad data, 130 and 143 after SIGINT and SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from gematria_ops.config.program import run_program

PROGRAM = "extract_tokens_file"


def define_flags() -> None:
    """Declares the flags on `flags.FLAGS`."""
    flags.DEFINE_multi_string(
        "gematria_input_tfrecord", None, "TFRecord file of basic blocks; may be given several times.", required=True
    )
    flags.DEFINE_string("gematria_output_tokens_file", None, "Text file to write, one token a line.", required=True)


def run() -> None:
    """Does what the flags say."""
    from gematria_ops.blocks.vocabulary import write_tokens_file
    from gematria_ops.data.dataset import collect_tokens

    tokens = collect_tokens(flags.FLAGS.gematria_input_tfrecord)
    output_file = Path(flags.FLAGS.gematria_output_tokens_file)
    write_tokens_file(output_file, tokens)
    print(f"{len(tokens)} tokens written to {output_file}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    return run_program(PROGRAM, define_flags, run, argv)


if __name__ == "__main__":
    sys.exit(main())
