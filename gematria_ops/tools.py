"""Commands about data sets that are no step of a workflow: one function each, as in `tasks.py`.

    merge_datasets          several TFRecord files       -> one, a record per block   (data/record_merging.py)
    describe_dataset        what is in a data set        -> tables, JSON              (data/describing.py)
    check_dataset           is it sound?                 -> pass, or an error         (data/checking.py)
    diff_vocabularies       tokens of one side only      -> counts, JSON              (data/comparing_vocabularies.py)
    check_annotated_blocks  JSON for llvm-exegesis       -> pass, or an error         (formats/annotated_blocks.py)

Large files are read as streams. Heavy libraries are imported inside the bodies, so that the help appears at once.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ops_common.errors import DataError

if TYPE_CHECKING:
    from gematria_ops.data.comparing_vocabularies import MissingTokens

Result = dict[str, str | int | float | bool]

_MAX_SHOWN_TOKENS = 20
_MAX_SHOWN_PROBLEMS = 20


def merge_datasets(*, input_files: list[str], output_file: str) -> Result:
    """Merge TFRecord files with labels of different sources into one, with one record per block.

    Args:
        input_files: TFRecord files or folders of data sets; of the same source twice, the first label of a block stays.
        output_file: TFRecord file to write.
    """
    from gematria_ops.data.record_files import find_record_files
    from gematria_ops.data.record_merging import merge_record_files

    report = merge_record_files(find_record_files(input_files), Path(output_file))
    return {"output_file": output_file, **asdict(report)}


def describe_dataset(*, input_files: list[str], report_file: str = "") -> Result:
    """Describe the blocks, instructions, tokens and labels of a data set.

    Args:
        input_files: TFRecord files or folders of data sets, described together.
        report_file: JSON file to write with everything; the tables show the most frequent names only.
    """
    from gematria_ops.data.describing import describe_record_files
    from gematria_ops.data.description_tables import print_description
    from gematria_ops.data.record_files import find_record_files
    from ops_common.artifacts import write_json

    description = describe_record_files(find_record_files(input_files))
    print_description(description, sys.stderr)
    if report_file:
        write_json(Path(report_file), description.model_dump())
    return {
        "num_blocks": description.num_blocks,
        "num_empty_blocks": description.num_empty_blocks,
        "num_without_label": description.num_without_label,
        "num_instructions": description.num_instructions,
        "num_distinct_instructions": description.num_distinct_instructions,
        "num_tokens": len(description.tokens),
        "num_sources": len(description.sources),
        "num_labels": sum(source.labels.num_labels for source in description.sources.values()),
    }


def check_dataset(*, input_files: list[str], report_file: str = "") -> Result:
    """Check every record of a data set; fail with the counts by reason when something is wrong.

    Args:
        input_files: TFRecord files or folders of data sets, whose manifests are checked as well.
        report_file: JSON file to write with the counts and where each reason occurred first.
    """
    from gematria_ops.data.checking import check_record_files
    from gematria_ops.data.record_files import find_record_files
    from ops_common.artifacts import write_json

    folders = [path for path in map(Path, input_files) if path.is_dir()]
    report = check_record_files(find_record_files(input_files), folders)
    if report_file:
        write_json(Path(report_file), report.to_json())
    if report.num_errors:
        raise DataError("\n".join(report.lines()), "import the data again, or leave out what is wrong")
    print("\n".join(report.lines()))
    notes = {f"num_{finding}": num for finding, num in report.num_by_finding.items()}
    return {"num_records": report.num_records, "num_errors": 0, **notes}


def diff_vocabularies(*, first: str, second: str, report_file: str = "") -> Result:
    """Compare the tokens of two tokens files or data sets; say how many blocks have tokens that the other side lacks.

    Args:
        first: Tokens file, TFRecord file, or folder of a data set.
        second: The same; the structural tokens, which every vocabulary has, are left out of the comparison.
        report_file: JSON file to write with all tokens that only one side has.
    """
    from gematria_ops.data.comparing_vocabularies import compare_vocabularies
    from ops_common.artifacts import write_json

    difference = compare_vocabularies(Path(first), Path(second))
    print("\n".join([*_missing_lines(first, difference.only_first), *_missing_lines(second, difference.only_second)]))
    if report_file:
        write_json(Path(report_file), {"first": first, "second": second, **asdict(difference)})
    return {
        "num_first": difference.num_first,
        "num_second": difference.num_second,
        "num_shared": difference.num_shared,
        "num_only_first": len(difference.only_first.tokens),
        "num_only_second": len(difference.only_second.tokens),
        "num_blocks_only_first": difference.only_first.num_blocks,
        "num_blocks_only_second": difference.only_second.num_blocks,
    }


def check_annotated_blocks(*, json_files: list[str]) -> Result:
    """Check JSON files of blocks for llvm-exegesis; fail with every block that it could not use.

    Args:
        json_files: Files that convert_bhive_to_llvm_exegesis_input has written, or others of that form.
    """
    from gematria_ops.formats.annotated_blocks import block_problems, read_annotated_json

    num_blocks = 0
    problems: list[str] = []
    num_by_reason: dict[str, int] = {}
    for name in json_files:
        for index, block in enumerate(read_annotated_json(Path(name))):
            num_blocks += 1
            for problem in block_problems(block):
                problems.append(f"{name}, block {index}: {problem.text}")
                num_by_reason[problem.reason] = num_by_reason.get(problem.reason, 0) + 1
    if problems:
        counts = ", ".join(f"{num} {reason}" for reason, num in sorted(num_by_reason.items()))
        more = [f"and {len(problems) - _MAX_SHOWN_PROBLEMS} more"] if len(problems) > _MAX_SHOWN_PROBLEMS else []
        raise DataError(
            "\n".join([f"{num_blocks} blocks, {counts}", *problems[:_MAX_SHOWN_PROBLEMS], *more]),
            "correct these blocks, or make the file anew",
        )
    return {"num_blocks": num_blocks}


def _missing_lines(name: str, missing: MissingTokens) -> list[str]:
    blocks = f", in {missing.num_blocks:,} of {missing.num_all_blocks:,} blocks" if missing.num_all_blocks else ""
    lines = [f"{len(missing.tokens):,} tokens only in {name}{blocks}"]
    for token, num in list(missing.tokens.items())[:_MAX_SHOWN_TOKENS]:
        lines.append(f"  {token!r}" + (f" in {num:,} blocks" if missing.num_all_blocks else ""))
    if len(missing.tokens) > _MAX_SHOWN_TOKENS:
        lines.append(f"  and {len(missing.tokens) - _MAX_SHOWN_TOKENS:,} more")
    return lines


TOOLS = (merge_datasets, describe_dataset, check_dataset, diff_vocabularies, check_annotated_blocks)
