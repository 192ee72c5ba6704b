"""A profile to annotated blocks: the example of the specification, and every rule of its section 4.2 by itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from gematria_ops.data import annotated_importing
from gematria_ops.data.annotated_importing import find_mapping, import_annotated_blocks, read_profile
from gematria_ops.data.dataset import read_blocks
from gematria_ops.formats.elf import Segment
from gematria_ops.formats.perf_data import PerfData
from ops_common.errors import DataError
from tests.gematria.formats import perf_writer as perf
from tests.gematria.formats.perf_writer import Event, Recording

ELF = Path(__file__).parents[2] / "data" / "elf"
CYCLES = Event("cycles:u", 0, 0, (100, 101))
INSTRUCTIONS = Event("instructions:u", 0, 1, (200,))
RECORDING = Recording((CYCLES, INSTRUCTIONS))

# Where the system could have put the program, and its loop (tests/data/elf/loop.s).
BASE = 0x5581_0000_0000
LOOP, DEC, JUMP = BASE + 0x6CB, BASE + 0x6D2, BASE + 0x6D4
PID = 4242
MAPPED = perf.mmap2(PID, BASE, 0x1000, 0, "/home/me/loop_one_segment")


def run(tmp_path, *records, recording=RECORDING, program="loop_one_segment"):
    perf_file, output = tmp_path / "perf.data", tmp_path / "blocks.tfrecord"
    perf_file.write_bytes(recording.with_data(*records).content())
    done = import_annotated_blocks(ELF / program, perf_file, output)
    return done, list(read_blocks(output))


def loop_branches(cycles):
    """A full branch stack of the loop, newest first; the last entry has no predecessor, so its cycles do not count."""
    return tuple((JUMP, LOOP, number) for number in [*cycles, 1000])


def test_the_specifications_example(tmp_path):
    # 2 samples with 32 branches each make 62 measurements of 95 cycles together.
    first, second = [1] * 15 + [2] * 16, [1] * 14 + [2] * 17
    done, blocks = run(
        tmp_path,
        MAPPED,
        perf.sample(CYCLES, DEC, PID, loop_branches(first)),
        perf.sample(INSTRUCTIONS, DEC, PID, loop_branches(second)),
    )
    (block,) = blocks
    instructions = block.basic_block.canonicalized_instructions
    assert [machine.address for machine in block.basic_block.machine_instructions] == [1739, 1741, 1744, 1746]
    assert [machine.machine_code.hex() for machine in block.basic_block.machine_instructions] == [
        "89ca",
        "0fafd2",
        "01d0",
        "ffc9",
    ]
    assert [instruction.mnemonic for instruction in instructions] == ["MOV", "IMUL", "ADD", "DEC"]
    annotations = [
        [(annotation.name, annotation.value) for annotation in instruction.instruction_annotations]
        for instruction in instructions
    ]
    assert annotations == [[], [], [], [("cycles:u", 1.0), ("instructions:u", 1.0)]]
    (throughput,) = block.inverse_throughputs
    assert (throughput.source, list(throughput.inverse_throughput_cycles)) == ("perf_lbr_data", [1.532258064516129])
    assert done.summary_lines() == ["Wrote 1 (pseudo-)basic block(s)."]


def test_addresses_are_those_of_the_program_headers(tmp_path):
    # This segment is at 0x401000 in memory and at 0x1000 in the file, and position-dependent code is where it says.
    mapped = perf.mmap2(PID, 0x401000, 0x1000, 0x1000, "loop_own_segment")
    branches = ((0x401015, 0x40100C, 4), (0x401015, 0x40100C, 4))
    _, (block,) = run(tmp_path, mapped, perf.sample(CYCLES, 0x40100E, PID, branches), program="loop_own_segment")
    assert [machine.address for machine in block.basic_block.machine_instructions] == [
        0x40100C,
        0x40100E,
        0x401011,
        0x401013,
    ]
    assert [len(item.instruction_annotations) for item in block.basic_block.canonicalized_instructions] == [0, 1, 0, 0]


def test_blocks_are_merged_in_the_order_of_first_appearance(tmp_path):
    # Newest first: the second block, the first, the second; all end at the jump.
    branches = ((JUMP, LOOP, 3), (JUMP, LOOP + 2, 8), (JUMP, LOOP, 5), (JUMP, LOOP + 2, 1000))
    _, blocks = run(tmp_path, MAPPED, perf.sample(CYCLES, DEC, PID, branches))
    found = [
        (block.basic_block.machine_instructions[0].address, block.inverse_throughputs[0].inverse_throughput_cycles[0])
        for block in blocks
    ]
    # The oldest branch goes to LOOP + 2, and the branch after it took 5 cycles to get to its end; and so on.
    assert found == [(0x6CD, (5 + 3) / 2), (0x6CB, 8.0)]


def profile_of(*branches, length=0x1000, event=CYCLES):
    perf_data = PerfData(
        Recording((event,))
        .with_data(perf.mmap2(PID, BASE, length, 0, "a"), perf.sample(event, BASE, PID, branches))
        .content()
    )
    return read_profile(perf_data, find_mapping(perf_data, "a", Segment(5, 0, 0, length)))


@pytest.mark.parametrize(
    "begin, end, reason",
    [
        (BASE + 8, BASE + 8, "blocks without instructions"),
        (BASE + 9, BASE + 8, "blocks without instructions"),
        (BASE, BASE + 65537, "blocks of more than 65536 bytes"),
        (BASE - 1, BASE + 8, "blocks at other addresses"),
        (BASE + 8, BASE + 0x20001, "blocks at other addresses"),
        (0xFFFFFFFF81000000, 0xFFFFFFFF81000004, "blocks at other addresses"),
    ],
)
def test_blocks_that_are_left_out_are_counted(begin, end, reason):
    profile = profile_of((end, 0, 5), (0, begin, 5), length=0x20000)
    assert profile.latencies == {}
    assert profile.num_dropped == {reason: 1}


@pytest.mark.parametrize("begin, end", [(BASE, BASE + 65536), (BASE, BASE + 1), (BASE + 0x1FFFF, BASE + 0x20000)])
def test_blocks_at_the_limits(begin, end):
    profile = profile_of((end, 0, 5), (0, begin, 7), length=0x20000)
    assert {block: latency.mean_cycles for block, latency in profile.latencies.items()} == {(begin, end): 5.0}


def test_one_branch_makes_no_block():
    assert profile_of((BASE + 8, BASE, 5)).latencies == {}


def test_samples_elsewhere_are_counted():
    perf_data = PerfData(
        Recording((CYCLES,))
        .with_data(
            perf.mmap2(PID, BASE, 0x1000, 0, "a"),
            perf.sample(CYCLES, BASE, PID + 1, ((BASE + 8, BASE, 5), (BASE + 8, BASE, 5))),
            perf.sample(CYCLES, BASE - 1, PID, ((BASE + 8, BASE, 5), (BASE + 8, BASE, 5))),
            perf.sample(CYCLES, BASE + 0xFFF, PID),
            perf.sample(CYCLES, BASE + 0x1000, PID),
        )
        .content()
    )
    profile = read_profile(perf_data, find_mapping(perf_data, "a", Segment(5, 0, 0, 0x1000)))
    assert profile.num_dropped == {"samples of other processes": 1, "samples at other addresses": 2}
    assert profile.samples == {BASE + 0xFFF: {0: 1}}
    # A sample elsewhere still has branches that count.
    assert list(profile.latencies) == [(BASE, BASE + 8)]


def names_of(tmp_path, *events):
    samples = [perf.sample(event, DEC, PID, loop_branches([1])) for event in events]
    _, (block,) = run(tmp_path, MAPPED, *samples, recording=Recording(events))
    annotations = block.basic_block.canonicalized_instructions[3].instruction_annotations
    return [(annotation.name, annotation.value) for annotation in annotations]


def test_events_are_told_apart_by_the_lowest_bits_of_their_config(tmp_path):
    performance = Event("cpu_core/cycles/u", 0, 0x4_0000_0000, (1,))
    efficiency = Event("cpu_atom/cycles/u", 0, 0xA_0000_0000, (2,))
    other = Event("cpu_core/instructions/u", 0, 0x4_0000_0001, (3,))
    assert names_of(tmp_path, performance, efficiency, other) == [
        ("cpu_core/cycles/u", 2.0),
        ("cpu_core/instructions/u", 1.0),
    ]


def test_events_of_different_units_are_different(tmp_path):
    clock = Event("cpu-clock:u", 1, 0, (1,))
    assert names_of(tmp_path, replace(CYCLES, ids=(2,)), clock) == [("cycles:u", 1.0), ("cpu-clock:u", 1.0)]


def test_the_first_executable_mapping_of_that_name_counts():
    code = Segment(5, 0x1000, 0x1000, 0x500)
    perf_data = PerfData(
        Recording()
        .with_data(
            perf.mmap2(1, 0x100000, 0x1000, 0x1000, "/bin/other"),
            perf.mmap2(2, 0x200000, 0x1000, 0x1000, "/bin/program.so"),
            perf.mmap2(3, 0x300000, 0x1000, 0x1000, "/bin/program/x"),
            perf.mmap2(4, 0x400000, 0x1000, 0, "/bin/program", perf.PROT_READ),
            perf.mmap2(5, 0x500000, 0x1000, 0x1000, "/bin/program", perf.PROT_EXEC),
            perf.mmap2(6, 0x600000, 0x1000, 0x1000, "/bin/program"),
            perf.mmap2(7, 0x700000, 0x1000, 0x1000, "/bin/program"),
        )
        .content()
    )
    assert find_mapping(perf_data, "program", code).process_id == 6
    with pytest.raises(DataError, match="no process that ran code of a file named Program"):
        find_mapping(perf_data, "Program", code)
    for elsewhere in (Segment(5, 0x2000, 0, 0x500), Segment(5, 0, 0, 0x1000)):
        with pytest.raises(DataError, match="program was mapped from offset 4096, but its code is at"):
            find_mapping(perf_data, "program", elsewhere)


def test_a_block_that_cannot_be_decoded_ends_the_import(tmp_path):
    # From the loop's first instruction to the middle of its second.
    branches = ((LOOP + 3, 0, 1), (0, LOOP, 1))
    with pytest.raises(DataError, match=r"loop_one_segment: block at address 0x6cb, truncated machine code at byte 2"):
        run(tmp_path, MAPPED, perf.sample(CYCLES, DEC, PID, branches))
    assert [path.name for path in tmp_path.iterdir()] == ["perf.data"]


def test_a_block_beyond_the_end_of_the_file_ends_the_import(tmp_path):
    mapped = perf.mmap2(PID, BASE, 0x10000, 0, "loop_one_segment")
    branches = ((BASE + 0x2008, 0, 1), (0, BASE + 0x2000, 1))
    with pytest.raises(DataError, match=r"the block at address 0x2000 .* is not within the file"):
        run(tmp_path, mapped, perf.sample(CYCLES, DEC, PID, branches))


def test_other_wrong_inputs(tmp_path, monkeypatch):
    sample = perf.sample(CYCLES, DEC, PID, loop_branches([1]))
    with pytest.raises(DataError, match=r"perf\.data has no process that ran code of a file named loop_one_segment"):
        run(tmp_path, sample)
    with pytest.raises(DataError, match=r"clang19\.o has 0 segments that are readable and executable, not one"):
        run(tmp_path, MAPPED, sample, program="clang19.o")
    unbranched = replace(CYCLES, sample_type=perf.IP | perf.TID)
    with pytest.raises(DataError, match=r"perf\.data was recorded without branch stacks") as caught:
        run(tmp_path, MAPPED, perf.sample(unbranched, DEC, PID), recording=Recording((unbranched,)))
    assert "perf record -b" in caught.value.hint
    monkeypatch.setattr(annotated_importing, "MAX_CODE_BYTES", 8)
    with pytest.raises(DataError, match=r"the blocks in .*perf.data have 9 bytes together, more than 8"):
        run(tmp_path, MAPPED, sample)


def test_a_program_with_two_code_segments(tmp_path):
    program = bytearray((ELF / "loop_own_segment").read_bytes())
    program[64 + 4] = 5  # the rights of the first segment: now it can be executed as well
    (tmp_path / "loop_own_segment").write_bytes(program)
    with pytest.raises(DataError, match="has 2 segments that are readable and executable, not one"):
        run(tmp_path, MAPPED, program=tmp_path / "loop_own_segment")


def test_a_processor_that_counts_no_cycles(tmp_path):
    done, (block,) = run(tmp_path, MAPPED, perf.sample(CYCLES, DEC, PID, loop_branches([0, 0])))
    assert list(block.inverse_throughputs[0].inverse_throughput_cycles) == [0.0]
    assert done.summary_lines()[1].startswith("1 of them have a latency of 0")


def test_what_was_dropped_is_reported(tmp_path):
    done, _ = run(
        tmp_path,
        MAPPED,
        perf.sample(CYCLES, 1, PID, loop_branches([1])),
        perf.sample(CYCLES, 1, 5),
        perf.sample(CYCLES, 1, 6),
    )
    assert done.summary_lines() == [
        "Wrote 1 (pseudo-)basic block(s).",
        "not used: 1 samples at other addresses",
        "not used: 2 samples of other processes",
    ]
