"""Prepares blocks for llvm-exegesis: `python -m gematria_ops.convert_bhive_to_llvm_exegesis_input --bhive_csv=...`.

The flags are those of the public tool of this name, with one difference: its annotators `fast` and `exegesis` execute
the blocks, and nothing here does. `static`, the default, derives the same from the code alone; a block for which that
is not possible is left out and counted by reason.

Exit codes: 0 done, 1 a flag is missing or its value wrong, 2 an unknown flag, or input that cannot be used, 4 a file
cannot be written, 130 after a signal. Assembly files that were written before an error stay.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from gematria_ops.config.program import run_program
from ops_common.errors import ArtifactError, DataError, OpsError

PROGRAM = "convert_bhive_to_llvm_exegesis_input"

_MAX_UINT32 = (1 << 32) - 1
_REFUSED = ("fast", "exegesis")


class FlagValueError(OpsError):
    """A flag is missing, or its value makes no sense."""

    exit_code = 1


class BlockError(OpsError):
    """A line of the input cannot be used."""

    exit_code = 2


class WriteError(OpsError):
    """A file cannot be written."""

    exit_code = 4


def define_flags() -> None:
    """Declares the flags on `flags.FLAGS`."""
    flags.DEFINE_string("bhive_csv", "", "BHive CSV file, plain or .gz: <hex>,<anything> per line.")
    flags.DEFINE_string("asm_output_dir", "", "Folder for one assembly file a block: 0.test, 1.test and so on.")
    flags.DEFINE_string("json_output_dir", "", "Folder for JSON files with many blocks each: 0.json and so on.")
    flags.DEFINE_string(
        "annotator_implementation",
        "static",
        "What finds registers and memory: static (ours; derives them from the code) or none (sets up nothing).",
    )
    flags.DEFINE_integer("blocks_per_json_file", _MAX_UINT32, "How many blocks go into one JSON file.")
    flags.DEFINE_integer("max_bb_count", _MAX_UINT32, "Stop after so many blocks.", lower_bound=0)
    flags.DEFINE_integer("report_progress_every", _MAX_UINT32, "Say so after each so many blocks.", lower_bound=1)
    flags.DEFINE_boolean("skip_no_loop_register", True, "Leave out blocks that use every general register.")
    flags.DEFINE_integer(
        "max_annotation_attempts", 50, "For annotators that try; those of this program need one attempt.", lower_bound=1
    )


def run() -> None:
    """Does what the flags say."""
    values = flags.FLAGS
    _check_flags()
    from gematria_ops.data.annotators import ANNOTATORS
    from gematria_ops.data.exegesis_input import ConversionOptions, convert_file

    options = ConversionOptions(
        annotator=ANNOTATORS[values.annotator_implementation],
        assembly_dir=Path(values.asm_output_dir) if values.asm_output_dir else None,
        json_dir=Path(values.json_output_dir) if values.json_output_dir else None,
        blocks_per_json_file=values.blocks_per_json_file,
        max_num_blocks=values.max_bb_count,
        report_every=values.report_progress_every,
        skip_no_loop_register=values.skip_no_loop_register,
    )
    try:
        report = convert_file(Path(values.bhive_csv), options)
    except ArtifactError as error:
        raise WriteError(error.message, error.hint) from None
    except DataError as error:
        raise BlockError(error.message, error.hint) from None
    print("\n".join(report.lines()), file=sys.stderr)


def _check_flags() -> None:
    values = flags.FLAGS
    if not values.bhive_csv:
        raise FlagValueError("--bhive_csv is required", "name the CSV file with the blocks")
    if not values.asm_output_dir and not values.json_output_dir:
        raise FlagValueError("there is nothing to write", "give --asm_output_dir, --json_output_dir, or both")
    if values.blocks_per_json_file < 1:
        raise FlagValueError("--blocks_per_json_file must be greater than 0", "leave it out to get one JSON file")
    annotator = values.annotator_implementation
    if annotator in _REFUSED:
        raise FlagValueError(
            f"--annotator_implementation={annotator} executes the blocks on this processor, which is not done here",
            "use static, which derives registers and memory from the code, or none",
        )
    if annotator not in ("static", "none"):
        raise FlagValueError(f"--annotator_implementation={annotator} is unknown", "use static or none")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    return run_program(PROGRAM, define_flags, run, argv)


if __name__ == "__main__":
    sys.exit(main())
