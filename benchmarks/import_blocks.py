"""How fast BHive rows become records, and in how much memory, beside a plain loop without caching.

    python -m benchmarks.import_blocks [--csv FILE] [--output FILE]

Targets: 20,000 blocks a second on two cores at 5 instructions a block, that is 100,000 instructions a second; and at
most 100 MiB over what an import needs at all, whatever the file's size. CPU seconds are given beside the wall clock,
which says little while other programs run. Each measurement runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, write_result
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.importing import import_bhive
from gematria_ops.formats.bhive_csv import BhiveRow, CsvLayout, read_rows
from gematria_ops.formats.proto_codec import instruction_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.tfrecord import RecordWriter

SAMPLE = ROOT / "tests" / "data" / "bhive" / "sample_hsw.csv"
SOURCE = "bhive: benchmark"

# Enough to fill every cache; the second shows whether memory still grows then.
NUM_GENERATED = (30_000, 90_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=SAMPLE, help="BHive CSV file to import")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "CSV"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure:
        print(json.dumps(_measure(options.measure[0], Path(options.measure[1]))))
        return 0
    values: dict[str, Any] = {"csv": options.csv.name}
    values |= {what: _in_process(what, options.csv) for what in ("reference", "workers_1", "workers_2")}
    reference = values["reference"]["cpu_seconds_per_1000_blocks"]
    for what in ("workers_1", "workers_2"):
        values[what]["cpu_speedup_over_reference"] = reference / values[what]["cpu_seconds_per_1000_blocks"]
    values["memory"] = _memory()
    write_result("import_blocks", values, options.output)
    return 0


def _in_process(what: str, csv_file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.import_blocks", "--measure", what, str(csv_file)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _measure(what: str, csv_file: Path) -> dict[str, float]:
    """Imports a file in one of the ways and returns its cost, start of processes included, imports not."""
    import resource

    import gematria_ops.blocks.decoding  # noqa: F401 - every way needs it, none is charged for it

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "blocks.tfrecord"
        started = time.perf_counter()
        cpu_before = _cpu_seconds()
        if what == "reference":
            import_plainly(csv_file, output)
        else:
            import_bhive(csv_file, SOURCE, output, num_workers=int(what.removeprefix("workers_")))
        wall_seconds = time.perf_counter() - started
        cpu_seconds = _cpu_seconds() - cpu_before
        lengths = [len(block.basic_block.canonicalized_instructions) for block in read_blocks(output)]
    return {
        "num_blocks": len(lengths),
        "instructions_per_block": sum(lengths) / len(lengths),
        "wall_seconds": wall_seconds,
        "blocks_per_second": len(lengths) / wall_seconds,
        "instructions_per_second": sum(lengths) / wall_seconds,
        "cpu_seconds": cpu_seconds,
        "cpu_seconds_per_1000_blocks": 1000 * cpu_seconds / len(lengths),
        "peak_main_mib": _peak_of_this_process_mib(),
        "peak_worker_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def import_plainly(csv_file: Path, output: Path) -> None:
    """The reference: row by row, every instruction decoded and canonicalised anew, every message built."""
    from gematria_ops.blocks import decoding

    # The bounded caches are those of instructions; the unbounded ones hold tables that a plain loop would have, too.
    caches = [value for value in vars(decoding).values() if hasattr(value, "cache_info")]
    bounded = [cache for cache in caches if cache.cache_info().maxsize is not None]
    with RecordWriter(output) as writer:
        for row in read_rows(csv_file, CsvLayout()):
            if not isinstance(row, BhiveRow):
                continue
            for cache in bounded:
                cache.cache_clear()
            block = BasicBlockWithThroughputProto()
            address = 0
            for decoded in decoding.decode_block(row.machine_code):
                block.basic_block.machine_instructions.add(
                    address=address, assembly=decoded.assembly, machine_code=decoded.machine_code
                )
                block.basic_block.canonicalized_instructions.append(instruction_to_proto(decoded.instruction))
                address += len(decoded.machine_code)
            block.inverse_throughputs.add(source=SOURCE, inverse_throughput_cycles=[row.cycles_per_iteration])
            writer.write(block.SerializeToString())


def _memory() -> dict[str, Any]:
    """Imports generated files of distinct instructions; the base is an import that fills no cache."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for num_blocks in (3000, *NUM_GENERATED):
            csv_file = Path(folder) / f"{num_blocks}.csv"
            generate(csv_file, num_blocks)
            measured = _in_process("workers_2", csv_file)
            peaks.append(measured["peak_main_mib"] + 2 * measured["peak_worker_mib"])
    return {
        f"over_base_mib_{num_blocks}_blocks": peak - peaks[0]
        for num_blocks, peak in zip(NUM_GENERATED, peaks[1:], strict=True)
    } | {"base_mib": peaks[0], "counted": "main process and two workers"}


def generate(path: Path, num_blocks: int) -> None:
    """Writes a CSV file of blocks of five instructions, four of them found in no other block."""
    rng = random.Random(0)
    with path.open("w", encoding="ascii") as file:
        for _ in range(num_blocks):
            values = [rng.getrandbits(32) for _ in range(4)]
            code = "".join(f"b8{value:08x}" for value in values[:3]) + f"488d80{values[3]:08x}4801d8"
            file.write(f"{code},{100 + values[0] % 1000}\n")


def _cpu_seconds() -> float:
    import resource

    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_of_this_process_mib() -> float:
    # Not ru_maxrss: that one begins with the memory of whoever started this process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
