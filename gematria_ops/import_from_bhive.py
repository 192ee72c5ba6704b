"""Imports a BHive CSV file into a TFRecord file: `python -m gematria_ops.import_from_bhive --gematria_input_csv=...`.

The flags are those of the public tool of this name; the last three are ours. The scaling stays 1.0 by default, as
there: give `--gematria_throughput_scaling=0.01` to turn BHive's cycles per 100 iterations into cycles per iteration.

Exit codes: 0 done, 2 wrong flags, 3 unknown triple, 4 bad data, 130 and 143 after SIGINT and SIGTERM; nothing is
written unless it is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gematria_ops.config.program import run_program
from gematria_ops.config.triple import check_triple

PROGRAM = "import_from_bhive"


def define_flags() -> None:
    """Declares the flags on `flags.FLAGS`."""
    flags.DEFINE_string(
        "gematria_input_csv", None, "BHive CSV file, plain or .gz: <hex>,<cycles> per line.", required=True
    )
    flags.DEFINE_string("gematria_output_tfrecord", None, "TFRecord file to write.", required=True)
    flags.DEFINE_string(
        "gematria_throughput_source_name",
        None,
        "Throughput source of the labels, for example 'bhive: skl'.",
        required=True,
    )
    flags.DEFINE_float(
        "gematria_throughput_scaling", 1.0, "Multiplies every throughput; 0.01 for cycles per 100 iterations."
    )
    flags.DEFINE_string("gematria_llvm_triple", "x86_64", "LLVM triple of the machine code; x86-64 only.")
    flags.DEFINE_integer("machine_code_hex_column_index", 0, "Column of the machine code, from 0.", lower_bound=0)
    flags.DEFINE_integer("throughput_column_index", 1, "Column of the throughput, from 0.", lower_bound=0)
    flags.DEFINE_float(
        "gematria_max_rejected_share",
        0.01,
        "(ours) Fail when more than this share of the rows is unusable, 0 to 1.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer("gematria_num_workers", 2, "(ours) Processes that decode and canonicalise.", lower_bound=1)
    flags.DEFINE_string("gematria_import_report_file", None, "(ours) JSON file with what was used and what was not.")
    flags.register_multi_flags_validator(  # type: ignore[no-untyped-call]
        ["machine_code_hex_column_index", "throughput_column_index"],
        _columns_differ,
        message="machine code and throughput must be in different columns",
    )


def run() -> None:
    """Does what the flags say."""
    from gematria_ops.data.importing import import_bhive
    from gematria_ops.formats.bhive_csv import CsvLayout
    from ops_common.artifacts import write_json

    values = flags.FLAGS
    check_triple(values.gematria_llvm_triple)
    layout = CsvLayout(
        values.machine_code_hex_column_index, values.throughput_column_index, values.gematria_throughput_scaling
    )
    output_file = Path(values.gematria_output_tfrecord)
    report = import_bhive(
        Path(values.gematria_input_csv),
        values.gematria_throughput_source_name,
        output_file,
        layout=layout,
        max_rejected_share=values.gematria_max_rejected_share,
        num_workers=values.gematria_num_workers,
    )
    if values.gematria_import_report_file:
        write_json(Path(values.gematria_import_report_file), report.to_json())
    print("\n".join([*report.summary_lines(), f"written to {output_file}"]), file=sys.stderr)


def _columns_differ(values: Mapping[str, Any]) -> bool:
    return bool(values["machine_code_hex_column_index"] != values["throughput_column_index"])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs with command-line arguments (the program's name first) and returns the exit code."""
    return run_program(PROGRAM, define_flags, run, argv)


if __name__ == "__main__":
    sys.exit(main())
