"""The tools as commands: results, tables and reports, exit codes."""

import inspect
import json
from pathlib import Path

import pytest

from gematria_ops.data.importing import import_bhive
from gematria_ops.tools import (
    TOOLS,
    check_annotated_blocks,
    check_dataset,
    describe_dataset,
    diff_vocabularies,
    merge_datasets,
)
from ops_common.cli import argument_descriptions, run_task, summary
from tests.gematria.formats.test_annotated_blocks import JSON

SAMPLES = Path(__file__).parents[1] / "data" / "bhive"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for uarch in ("hsw", "skl"):
        import_bhive(SAMPLES / f"sample_{uarch}.csv", f"bhive: {uarch}", folder / uarch, num_workers=1)
    return folder


def run(capfd, tool, status=0, **arguments):
    """Runs a tool as its command does; returns its result and what it says."""
    assert run_task(tool, arguments) == status
    output = capfd.readouterr()
    assert "Traceback" not in output.err
    return json.loads(output.out) if status == 0 else None, output.err


def test_every_tool_says_what_it_and_its_arguments_are():
    for tool in TOOLS:
        assert summary(tool).endswith(".")
        assert set(argument_descriptions(tool)) == set(inspect.signature(tool).parameters)


def test_merge_check_and_describe(capfd, records, tmp_path):
    merged, report_file = tmp_path / "merged", tmp_path / "report.json"
    result, _ = run(
        capfd, merge_datasets, input_files=[str(records / "hsw"), str(records / "skl")], output_file=str(merged)
    )
    assert result["output_file"] == str(merged)
    assert (result["num_records"], result["num_blocks"], result["num_labels"]) == (4000, 2000, 4000)
    result, text = run(capfd, check_dataset, input_files=[str(merged)], report_file=str(report_file))
    assert result == {"num_records": 2000, "num_errors": 0}
    assert "2,000 records, 0 errors" in text
    assert json.loads(report_file.read_text()) == {"num_records": 2000, "num_errors": 0, "findings": {}}
    result, text = run(capfd, describe_dataset, input_files=[str(merged)], report_file=str(report_file))
    assert (result["num_blocks"], result["num_sources"], result["num_labels"]) == (2000, 2, 4000)
    assert "bhive: skl" in text
    assert json.loads(report_file.read_text())["opcodes"]["MOV64rm"] > 1000


def test_errors_of_a_check(capfd, records, tmp_path):
    report_file = tmp_path / "report.json"
    files = [str(records / "hsw"), str(records / "hsw")]
    _, text = run(capfd, check_dataset, 4, input_files=files, report_file=str(report_file))
    assert "error: 4,000 records, 2,000 errors" in text
    found = json.loads(report_file.read_text())["findings"]["duplicate_block"]
    assert (found["num"], found["is_error"], found["first"]["record_index"]) == (2000, True, 0)


def test_vocabularies(capfd, records, tmp_path):
    tokens, report_file = tmp_path / "tokens.txt", tmp_path / "report.json"
    tokens.write_text("MOV\nFOO\n")
    result, text = run(
        capfd, diff_vocabularies, first=str(tokens), second=str(records / "hsw"), report_file=str(report_file)
    )
    assert (result["num_first"], result["num_shared"], result["num_only_first"]) == (2, 1, 1)
    assert result["num_blocks_only_second"] > 1000
    assert f"1 tokens only in {tokens}\n  'FOO'\n" in text
    assert "of 2,000 blocks" in text and "\n  and " in text
    assert json.loads(report_file.read_text())["only_first"]["tokens"] == {"FOO": 0}


def test_annotated_blocks(capfd, tmp_path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(f"[{JSON}, {JSON}]")
    assert run(capfd, check_annotated_blocks, json_files=[str(good)])[0] == {"num_blocks": 2}
    bad.write_text(json.dumps([json.loads(JSON), {"Hex": "3b3"}, *[7] * 20]))
    _, text = run(capfd, check_annotated_blocks, 4, json_files=[str(good), str(bad)])
    assert "error: 24 blocks, 1 bad_hex, 1 missing_mapping_array, " in text
    assert f"{bad}, block 1: 'Hex' is '3b3', not machine code in hexadecimal digits" in text
    assert f"{bad}, block 2: it is 7, not an object" in text
    assert "\nand 4 more\n" in text


def test_wrong_inputs(capfd, tmp_path):
    for tool in (merge_datasets, describe_dataset, check_dataset):
        arguments = {"output_file": str(tmp_path / "out")} if tool is merge_datasets else {}
        _, text = run(capfd, tool, 4, input_files=[str(SAMPLES / "sample_hsw.csv")], **arguments)
        assert "sample_hsw.csv is not a TFRecord file" in text
    assert list(tmp_path.iterdir()) == []
