"""`extract_bbs_from_obj` and `import_annotated_basic_blocks` as commands: arguments, messages and exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from gematria_ops.data.dataset import read_blocks
from tests.gematria.formats import perf_writer as perf

# Each test starts a process or several.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ELF = ROOT / "tests" / "data" / "elf"
BLOCKS = """85FF740B
83FF01750C
B80B000000C3
B807000000C3
8D047FC3
5331DB83FF01741C
31DB89F8
89C1D1F9A8018D4440010F44C1FFC383F80175EC
E80000000001D85BC3
"""


def run(module, *arguments, **options):
    done = subprocess.run(
        [sys.executable, "-m", f"gematria_ops.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=120,
        **options,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_blocks_of_a_file_and_of_standard_input():
    content = (ELF / "clang19.o").read_bytes()
    assert run("extract_bbs_from_obj", ELF / "clang19.o") == (0, BLOCKS, "")
    assert run("extract_bbs_from_obj", input=content) == (0, BLOCKS, "")
    assert run("extract_bbs_from_obj", "-", input=content) == (0, BLOCKS, "")


def test_notes_go_to_standard_error():
    status, blocks, notes = run("extract_bbs_from_obj", ELF / "loop_own_segment")
    assert (status, blocks) == (0, "")
    assert notes == "extract_bbs_from_obj: no basic block address map for section .text\n"


def test_a_reader_that_has_seen_enough():
    command = f"{sys.executable} -m gematria_ops.extract_bbs_from_obj {ELF / 'clang14'} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"0\n", b"")


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (("missing.o",), 4, "extract_bbs_from_obj: missing.o does not exist"),
        ((ROOT / "README.md",), 4, "README.md: this is not an ELF file"),
        (("-",), 4, "standard input: this is not an ELF file"),
        (("a.o", "b.o"), 2, "unrecognized arguments: b.o"),
        (("--wrong",), 2, "unrecognized arguments: --wrong"),
    ],
)
def test_wrong_extraction_commands(arguments, status, message):
    found_status, blocks, text = run("extract_bbs_from_obj", *arguments, input=b"")
    assert (found_status, blocks, message in text) == (status, "", True), text


@pytest.fixture
def import_arguments(tmp_path):
    base = 0x7F0000000000
    branches = ((base + 0x6D4, base + 0x6CB, 3),) * 2
    event = perf.Event()
    recording = perf.Recording((event,)).with_data(
        perf.mmap2(1, base, 0x1000, 0, "/bin/loop_one_segment"), perf.sample(event, base + 0x6D2, 1, branches)
    )
    perf_file = tmp_path / "perf.data"
    perf_file.write_bytes(recording.content())
    return [
        f"--gematria_input_elf={ELF / 'loop_one_segment'}",
        f"--gematria_input_perf_data={perf_file}",
        f"--gematria_output_tfrecord={tmp_path / 'new' / 'blocks.tfrecord'}",
    ]


def test_import_of_a_profile(import_arguments, tmp_path):
    tool = "import_annotated_basic_blocks"
    assert run(tool, *import_arguments) == (0, "", "Wrote 1 (pseudo-)basic block(s).\n")
    (block,) = read_blocks(tmp_path / "new" / "blocks.tfrecord")
    assert block.inverse_throughputs[0].source == "perf_lbr_data"
    more = ["--gematria_throughput_source_name=lbr: skl", "--gematria_llvm_triple=x86_64-linux-gnu"]
    assert run(tool, *import_arguments, *more)[0] == 0
    (block,) = read_blocks(tmp_path / "new" / "blocks.tfrecord")
    assert block.inverse_throughputs[0].source == "lbr: skl"


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["--gematria_llvm_triple=aarch64"], 1, "the LLVM triple 'aarch64' does not name x86-64"),
        (["extra"], 2, "not a flag: 'extra'"),
        (["--gematria_input_elf=missing"], 4, "missing does not exist"),
        (["--gematria_input_perf_data=README.md"], 4, "README.md: this is not a perf.data file"),
        (["--gematria_output_tfrecord=/"], 4, "/ is a folder"),
    ],
)
def test_wrong_import_commands(import_arguments, tmp_path, arguments, status, message):
    found_status, output, text = run("import_annotated_basic_blocks", *import_arguments, *arguments)
    assert (found_status, output, message in text) == (status, "", True), text
    assert [path.name for path in tmp_path.iterdir()] == ["perf.data"]


def test_required_flags():
    status, _, text = run("import_annotated_basic_blocks")
    assert (status, "--gematria_input_elf must have a value" in text) == (2, True)


def test_help_needs_nothing_heavy():
    program = (
        "import sys, gematria_ops.import_annotated_basic_blocks, gematria_ops.extract_bbs_from_obj, "
        "gematria_ops.data.annotated_importing; "
        "print({'tensorflow', 'iced_x86', 'boto3', 'airflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert "--gematria_input_perf_data" in run("import_annotated_basic_blocks", "--help")[1]
