"""`import_from_bhive` and `extract_tokens_file` as commands: flags, defaults, messages and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gematria_ops.config.triple import check_triple
from gematria_ops.data.dataset import read_blocks
from ops_common.errors import ConfigError

# Each test starts a process or several.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "bhive" / "sample_hsw.csv"

# The example of the specification, section 2.6.
EIGHT_BLOCKS = (
    "554889E5897DF8837DF8007509 C745FC00000000EB25 837DF8037D09 C745FC03000000EB16 "
    "837DF8057D09 C745FC05000000EB07 C745FC07000000 8B45FC5DC3"
)
EIGHT_BLOCKS_TOKENS = (
    "CMP EAX EDI EFLAGS JGE JMP JNE MOV POP PUSH RBP RSP _ADDRESS_ _DISPLACEMENT_ _D_ _IMMEDIATE_ _MEMORY_ "
    "_NO_REGISTER_ ret"
)


def run(module, *arguments):
    """Runs a module as a command; returns exit code and standard error. Standard output must stay empty."""
    done = subprocess.run(
        [sys.executable, "-m", f"gematria_ops.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or "--help" in arguments
    return done.returncode, done.stderr + done.stdout


def import_arguments(csv_file, output, *more):
    return (
        f"--gematria_input_csv={csv_file}",
        f"--gematria_output_tfrecord={output}",
        "--gematria_throughput_source_name=bhive: hsw",
        *more,
    )


def test_tokens_of_the_specifications_example(tmp_path):
    csv_file, records, tokens = tmp_path / "blocks.csv", tmp_path / "blocks.tfrecord", tmp_path / "tokens.txt"
    csv_file.write_text("".join(f"{code},{number}.0\n" for number, code in enumerate(EIGHT_BLOCKS.split(), start=1)))
    assert run("import_from_bhive", *import_arguments(csv_file, records))[0] == 0
    status, _ = run(
        "extract_tokens_file", f"--gematria_input_tfrecord={records}", "--gematria_output_tokens_file", tokens
    )
    assert status == 0
    assert tokens.read_text() == EIGHT_BLOCKS_TOKENS.replace(" ", "\n") + "\n"


def test_import_with_defaults_does_not_scale(tmp_path):
    output = tmp_path / "blocks.tfrecord"
    status, text = run("import_from_bhive", *import_arguments(SAMPLE, output))
    assert (status, "sample_hsw.csv as 'bhive: hsw': 2,000 of 2,000 rows used" in text) == (0, True)
    first = next(read_blocks(output))
    (entry,) = first.inverse_throughputs
    assert entry.source == "bhive: hsw"
    assert list(entry.inverse_throughput_cycles) == [float(SAMPLE.read_text().splitlines()[0].split(",")[1])]


def test_import_with_every_flag(tmp_path):
    csv_file, output, report_file = tmp_path / "blocks.csv", tmp_path / "blocks.tfrecord", tmp_path / "report.json"
    csv_file.write_text("207.0,a,90\nx,a,90\n")
    status, text = run(
        "import_from_bhive",
        *import_arguments(csv_file, output),
        "--machine_code_hex_column_index=2",
        "--throughput_column_index=0",
        "--gematria_throughput_scaling=0.01",
        "--gematria_llvm_triple=x86_64-unknown-linux-gnu",
        "--gematria_max_rejected_share=0.5",
        "--gematria_num_workers=1",
        f"--gematria_import_report_file={report_file}",
    )
    assert (status, "not_a_number: 1 rows, first in line 2: 'x,a,90'" in text) == (0, True)
    (block,) = read_blocks(output)
    assert list(block.inverse_throughputs[0].inverse_throughput_cycles) == [207.0 * 0.01]
    report = json.loads(report_file.read_text())
    assert report["sources"][0]["rejected"] == {
        "not_a_number": {"num_rows": 1, "first_line_number": 2, "first_text": "x,a,90"}
    }


def test_too_many_bad_rows(tmp_path):
    csv_file, output = tmp_path / "blocks.csv", tmp_path / "blocks.tfrecord"
    csv_file.write_text("90,1\nzz,1\n")
    status, text = run("import_from_bhive", *import_arguments(csv_file, output))
    assert status == 4
    assert "1 of 2 rows (50.00%) cannot be used, more than the allowed 1.00%" in text
    assert "not_hex: 1 rows, first in line 2: 'zz,1'" in text
    assert not output.exists()


WRONG_COMMANDS = {
    "no flags": ((), 2, "--gematria_input_csv must have a value"),
    "unknown flag": (("--gematria_input=x",), 2, "Unknown command line flag 'gematria_input'"),
    "equal columns": (("--throughput_column_index=0",), 2, "must be in different columns"),
    "negative column": (("--throughput_column_index=-1",), 2, "throughput_column_index"),
    "no number": (("--gematria_throughput_scaling=half",), 2, "gematria_throughput_scaling"),
    "share": (("--gematria_max_rejected_share=2",), 2, "gematria_max_rejected_share"),
    "workers": (("--gematria_num_workers=0",), 2, "gematria_num_workers"),
    "positional": (("extra",), 2, "not a flag: 'extra'"),
    "zero scaling": (("--gematria_throughput_scaling=0",), 3, "a throughput scaling of 0.0"),
    "triple": (("--gematria_llvm_triple=aarch64-linux-gnu",), 3, "the LLVM triple 'aarch64-linux-gnu' does not name"),
    "missing file": (("--gematria_input_csv=missing.csv",), 4, "missing.csv does not exist"),
    "folder as output": (("--gematria_output_tfrecord=/",), 4, "/ is a folder"),
}


@pytest.mark.parametrize("arguments, status, message", WRONG_COMMANDS.values(), ids=WRONG_COMMANDS.keys())
def test_wrong_import_commands(tmp_path, arguments, status, message):
    output = tmp_path / "blocks.tfrecord"
    before = () if message.startswith("--gematria_input_csv") else import_arguments(SAMPLE, output)
    found_status, text = run("import_from_bhive", *before, *arguments)
    assert (found_status, message in text) == (status, True), text
    assert text.startswith("import_from_bhive: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("triple", ["x86_64", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu", "amd64-pc-linux"])
def test_triples_of_the_architecture(triple):
    check_triple(triple)


@pytest.mark.parametrize("triple", ["", "x86", "i386-linux-gnu", "x86_65", "nonsense", "linux-x86_64"])
def test_other_triples(triple):
    with pytest.raises(ConfigError, match=f"'{triple}' does not name x86-64"):
        check_triple(triple)


def test_tokens_of_several_files_and_wrong_commands(tmp_path):
    tokens = tmp_path / "tokens.txt"
    for name, code in (("a", "90"), ("b", "c3")):
        (tmp_path / f"{name}.csv").write_text(f"{code},1\n")
        run("import_from_bhive", *import_arguments(tmp_path / f"{name}.csv", tmp_path / name))
    inputs = [f"--gematria_input_tfrecord={tmp_path / name}" for name in ("a", "b")]
    assert run("extract_tokens_file", *inputs, f"--gematria_output_tokens_file={tokens}")[0] == 0
    assert tokens.read_text() == "_D_\nnop\nret\n"
    status, text = run("extract_tokens_file", *inputs)
    assert (status, "--gematria_output_tokens_file must have a value" in text) == (2, True)
    status, text = run(
        "extract_tokens_file", f"--gematria_input_tfrecord={tokens}", f"--gematria_output_tokens_file={tokens}"
    )
    assert (status, f"{tokens}: record 0 is damaged" in text) == (4, True)


def test_help_lists_the_flags_without_loading_anything_heavy():
    for module, flag in (("import_from_bhive", "gematria_llvm_triple"), ("extract_tokens_file", "gematria_input_tf")):
        assert f"--{flag}" in run(module, "--help")[1]
    program = (
        "import sys, gematria_ops.import_from_bhive, gematria_ops.extract_tokens_file, gematria_ops.data.merging, "
        "gematria_ops.data.dataset; print({'tensorflow', 'iced_x86', 'boto3', 'airflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
