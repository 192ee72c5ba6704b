"""Imports a profile as annotated blocks: `python -m gematria_ops.import_annotated_basic_blocks`.

Takes a program and what `perf record -b` wrote of a run of it; docs/formats.md says what is accepted. The flags are
those of the public tool of this name.

Exit codes: 0 done, 1 unknown triple, 2 wrong flags, 4 bad data, 130 after a signal; nothing is written unless it is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from gematria_ops.config.program import run_program
from gematria_ops.config.triple import check_triple
from ops_common.errors import ConfigError, OpsError

PROGRAM = "import_annotated_basic_blocks"


def define_flags() -> None:
    """Declares the flags on `flags.FLAGS`."""
    flags.DEFINE_string("gematria_input_elf", None, "Program or library that was profiled.", required=True)
    flags.DEFINE_string(
        "gematria_input_perf_data", None, "perf.data file with branch stacks, from `perf record -b`.", required=True
    )
    flags.DEFINE_string("gematria_output_tfrecord", None, "TFRecord file to write.", required=True)
    flags.DEFINE_string("gematria_throughput_source_name", "perf_lbr_data", "Throughput source of the latencies.")
    flags.DEFINE_string("gematria_llvm_triple", "x86_64", "LLVM triple of the machine code; x86-64 only.")


def run() -> None:
    """Does what the flags say."""
    from gematria_ops.data.annotated_importing import import_annotated_blocks

    values = flags.FLAGS
    try:
        check_triple(values.gematria_llvm_triple)
    except ConfigError as error:
        # The public tool ends with 1 here.
        raise OpsError(error.message, error.hint) from None
    done = import_annotated_blocks(
        Path(values.gematria_input_elf),
        Path(values.gematria_input_perf_data),
        Path(values.gematria_output_tfrecord),
        values.gematria_throughput_source_name,
    )
    print("\n".join(done.summary_lines()), file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    return run_program(PROGRAM, define_flags, run, argv)


if __name__ == "__main__":
    sys.exit(main())
