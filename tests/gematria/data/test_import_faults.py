"""Imports that meet a full disk, a signal or a huge file: nothing half-written, nobody left behind, memory flat."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gematria_ops.data.merging import import_and_merge

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROGRAM = "tests.gematria.data.importing_program"
MEBIBYTE = 1024  # in KiB


def generate(path, num_blocks, seed=0):
    """Writes a CSV file of blocks of five instructions that are nearly all distinct: the worst case for caches."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(num_blocks):
            values = [rng.getrandbits(32) for _ in range(3)]
            code = "".join(f"b8{value:08x}" for value in values) + f"488d80{values[0]:08x}" + "4801d8"
            file.write(f"{code},{100 + values[1] % 1000}\n")
    return path


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert "Traceback" not in stderr
    return process.returncode, stdout, stderr


def wait_for_output(process, folder, num_bytes):
    """Waits until the import has written that much under temporary names; polling, since it reports nothing."""
    while process.poll() is None:
        parts = list(folder.glob(".*.part")) if folder.exists() else []
        if sum(part.stat().st_size for part in parts) >= num_bytes:
            return
        time.sleep(0.01)
    pytest.fail(f"the import ended before it was disturbed: {finish(process)}")


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("kind", ["single", "merge"])
def test_a_full_disk_leaves_nothing(tmp_path, kind, num_workers):
    csv_file = generate(tmp_path / "blocks.csv", 3000)
    output = tmp_path / "out" / ("data" if kind == "merge" else "blocks.tfrecord")
    # The system refuses to let a file grow beyond this, as it refuses when the disk is full.
    process = start(kind, csv_file, output, num_workers, "--file-size-limit", 1 << 19)
    status, _, stderr = finish(process)
    assert status == 4
    assert "cannot be written: File too large" in stderr
    assert "free disk space" in stderr
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_that_is_killed_leaves_nothing_under_its_name_and_can_be_repeated(tmp_path, sent):
    csv_file = generate(tmp_path / "blocks.csv", 8000)
    output = tmp_path / "data"
    process = start("merge", csv_file, output, 2)
    wait_for_output(process, output, 1 << 19)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert all(path.name.endswith(".part") for path in output.iterdir())
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    report = import_and_merge([csv_file], ["test"], output, num_workers=2)
    assert report.num_blocks == 8000
    assert not list(output.glob(".*"))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_cleans_up_after_a_signal(tmp_path, sent, code):
    csv_file = generate(tmp_path / "blocks.csv", 8000)
    folder = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gematria_ops.import_from_bhive",
            f"--gematria_input_csv={csv_file}",
            f"--gematria_output_tfrecord={folder / 'blocks.tfrecord'}",
            "--gematria_throughput_source_name=test",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_output(process, folder, 1 << 19)
    process.send_signal(sent)
    status, _, stderr = finish(process)
    assert status == code
    assert "nothing was written" in stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["single", "merge"])
def test_memory_is_flat(tmp_path, kind):
    """A file twice as long needs no more memory, and neither 100 MiB more than an import needs at all."""
    peaks = {}
    for num_blocks in (2500, 20_000, 40_000):
        csv_file = generate(tmp_path / f"{num_blocks}.csv", num_blocks)
        output = tmp_path / f"{num_blocks}"
        status, stdout, stderr = finish(start(kind, csv_file, output, 2))
        assert status == 0, stderr
        peaks[num_blocks] = json.loads(stdout)
    base, middle, large = peaks.values()
    assert large["main"] - middle["main"] < 12 * MEBIBYTE, peaks
    assert large["worker"] - middle["worker"] < 12 * MEBIBYTE, peaks
    over_base = large["main"] - base["main"] + 2 * (large["worker"] - base["worker"])
    assert over_base < 100 * MEBIBYTE, peaks


def test_a_long_line_is_never_held(tmp_path):
    short, long = tmp_path / "short.csv", tmp_path / "long.csv"
    short.write_text("90,100\n" * 200)
    with long.open("w") as file:
        file.write("90,100\n" * 199)
        for _ in range(6):
            file.write("90" * (5 << 20))
        file.write(",100\n")
    peaks = [json.loads(finish(start("single", path, tmp_path / "out.tfrecord", 1))[1]) for path in (short, long)]
    assert peaks[1]["main"] - peaks[0]["main"] < 8 * MEBIBYTE
