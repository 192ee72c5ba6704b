"""`convert_bhive_to_llvm_exegesis_input` as a command: flags, files, messages and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gematria_ops.data.dataset import read_blocks
from gematria_ops.formats.annotated_blocks import block_problems
from tests.gematria.formats.test_annotated_blocks import ASSEMBLY, JSON

# Each test starts a process or several.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "bhive" / "sample_hsw.csv"
EVERY_REGISTER = "89c089c989d289f689ff4589c04589c94589d24589db89db4589f64589ff4589e44589ed89ed"


def run(*arguments):
    command = [sys.executable, "-m", "gematria_ops.convert_bhive_to_llvm_exegesis_input", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "blocks.csv"
    path.write_text(f"3b31,45.000000\n{EVERY_REGISTER},9\n90,1\n31c0488b08,7\n,0\n")
    return path


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_both_formats(csv_file, tmp_path):
    assembly_dir, json_dir = tmp_path / "asm", tmp_path / "json"
    status, text = run(f"--bhive_csv={csv_file}", f"--asm_output_dir={assembly_dir}", f"--json_output_dir={json_dir}")
    assert (status, text.splitlines()) == (
        0,
        [
            "3 blocks written",
            "Failed to annotate 1 blocks: 1 unmappable_address",
            "Failed to find a loop register for 1 blocks",
        ],
    )
    nop = "# LLVM-EXEGESIS-LOOP-REGISTER RAX\n\tnop\n"
    assert content(assembly_dir) == {
        "0.test": ASSEMBLY,
        "1.test": nop,
        "2.test": "# LLVM-EXEGESIS-LOOP-REGISTER RAX\n",
    }
    (text,) = content(json_dir).values()
    assert text.startswith(f"[\n{JSON},\n  {{\n") and text.endswith("\n  }\n]\n")
    assert [block["Hex"] for block in json.loads(text)] == ["3b31", "90", ""]


def test_several_json_files_and_blocks_without_a_loop_register(csv_file, tmp_path):
    json_dir = tmp_path / "json"
    status, text = run(
        f"--bhive_csv={csv_file}",
        f"--json_output_dir={json_dir}",
        "--blocks_per_json_file=2",
        "--noskip_no_loop_register",
    )
    assert (status, "loop register" in text) == (0, False)
    files = {name: json.loads(text) for name, text in content(json_dir).items()}
    assert {name: [block["Hex"] for block in blocks] for name, blocks in files.items()} == {
        "0.json": ["3b31", EVERY_REGISTER],
        "1.json": ["90", ""],
    }
    assert "LoopRegister" not in files["0.json"][1]


def test_no_annotator(csv_file, tmp_path):
    status, _ = run(f"--bhive_csv={csv_file}", f"--asm_output_dir={tmp_path}", "--annotator_implementation=none")
    assert status == 0
    assert (tmp_path / "0.test").read_text() == "# LLVM-EXEGESIS-LOOP-REGISTER RAX\n\tcmpl\t(%rcx), %esi\n"
    assert "\tmovq\t(%rax), %rcx" in (tmp_path / "2.test").read_text()


def test_the_sample_in_parts(tmp_path):
    json_dir = tmp_path / "json"
    status, text = run(
        f"--bhive_csv={SAMPLE}", f"--json_output_dir={json_dir}", "--max_bb_count=500", "--report_progress_every=200"
    )
    assert (status, text.splitlines()[:3]) == (
        0,
        ["200 blocks processed", "400 blocks processed", "500 blocks written"],
    )
    blocks = json.loads((json_dir / "0.json").read_text())
    assert len(blocks) == 500
    assert not [problem for block in blocks for problem in block_problems(block)]


def test_results_of_exegesis_benchmark_are_imported_as_they_are(tmp_path):
    """It prints `<hex>,<inverse throughput>` per block: a BHive CSV file in cycles per iteration."""
    results, output = tmp_path / "results.csv", tmp_path / "blocks.tfrecord"
    results.write_text("3b31,0.5037\n4801d8,1.0142\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gematria_ops.import_from_bhive", f"--gematria_input_csv={results}"),
            *(f"--gematria_output_tfrecord={output}", "--gematria_throughput_source_name=llvm-exegesis: skl"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = [entry for block in read_blocks(output) for entry in block.inverse_throughputs]
    assert {entry.source for entry in entries} == {"llvm-exegesis: skl"}
    assert [list(entry.inverse_throughput_cycles) for entry in entries] == [[0.5037], [1.0142]]


FLAG_ERRORS = {
    "no input": (("--bhive_csv=",), 1, "--bhive_csv is required"),
    "no output": (("--asm_output_dir=",), 1, "there is nothing to write"),
    "no blocks in a file": (("--blocks_per_json_file=0",), 1, "--blocks_per_json_file must be greater than 0"),
    "fast": (
        ("--annotator_implementation=fast",),
        1,
        "--annotator_implementation=fast executes the blocks on this processor, which is not done here",
    ),
    "exegesis": (("--annotator_implementation=exegesis",), 1, "use static, which derives registers and memory"),
    "annotator": (("--annotator_implementation=slow",), 1, "--annotator_implementation=slow is unknown"),
    "unknown flag": (("--csv=x",), 2, "Unknown command line flag 'csv'"),
    "missing file": (("--bhive_csv=missing.csv",), 2, "missing.csv does not exist"),
    "output is a file": ((f"--asm_output_dir={SAMPLE}",), 4, "cannot be made"),
}


@pytest.mark.parametrize("arguments, status, message", FLAG_ERRORS.values(), ids=FLAG_ERRORS.keys())
def test_wrong_commands(csv_file, tmp_path, arguments, status, message):
    found_status, text = run(f"--bhive_csv={csv_file}", f"--asm_output_dir={tmp_path / 'asm'}", *arguments)
    assert (found_status, message in text) == (status, True), text


BAD_LINES = {
    "no comma": ("90", "line 2: no comma in '90'"),
    "blank": ("", "line 2: no comma in ''"),
    "hex": ("9x,1", "line 2: '9x' is not machine code in hexadecimal digits"),
    "truncated": ("b801,1", "line 2: truncated machine code at byte 0 of 2"),
}


@pytest.mark.parametrize("line, message", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_lines(tmp_path, line, message):
    csv_file, json_dir = tmp_path / "blocks.csv", tmp_path / "json"
    csv_file.write_text(f"3b31,1\n{line}\n")
    status, text = run(f"--bhive_csv={csv_file}", f"--json_output_dir={json_dir}")
    assert (status, f"{csv_file}, {message}" in text) == (2, True), text
    assert list(json_dir.iterdir()) == []
