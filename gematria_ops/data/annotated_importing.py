"""A program and its profile to basic blocks with latencies and annotations. Specification sections 4.2 and 4.3.

The processor keeps a stack of the last branches (LBR). Between the target of one branch and the next branch all
instructions were executed, one after the other: that is a block, and the cycles of the branch that ends it are a
measurement of its latency. The samples of the profile annotate the instructions that they were taken at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gematria_ops.blocks.basic_block import Annotation
from gematria_ops.formats.binary_input import open_content
from gematria_ops.formats.block_encoding import BlockEncoder, encode_block_with_throughputs, encode_source
from gematria_ops.formats.elf import ElfFile, Segment
from gematria_ops.formats.perf_data import PerfData
from gematria_ops.formats.perf_samples import Mapping, read_branches, read_mappings, read_samples
from ops_common.errors import DataError
from ops_common.progress import Progress
from ops_common.tfrecord import RecordWriter

if TYPE_CHECKING:  # the disassembler is heavy
    from gematria_ops.blocks.decoding import DecodedInstruction

MAX_BLOCK_BYTES = 1 << 16
# All blocks together; a large program has some ten megabytes of hot code.
MAX_CODE_BYTES = 1 << 25

_CONFIG_MASK = 0xFFFF
_MAX_ADDRESS = (1 << 64) - 1
_HINT = "record again, with the program that you give here: perf record -b -e cycles:u ./program"


@dataclass(slots=True)
class Latency:
    """The measurements of one block.

    Attributes:
        sum_cycles: Their sum.
        num_measurements: Their number.
    """

    sum_cycles: int = 0
    num_measurements: int = 0

    @property
    def mean_cycles(self) -> float:
        """Their mean."""
        return self.sum_cycles / self.num_measurements


@dataclass(slots=True)
class Profile:
    """What a recording says about the code of one program.

    Attributes:
        event_names: The kinds of events, in the order of the recording.
        latencies: First address and end of a block to its measurements, in the order of first appearance.
        samples: Address of an instruction to the number of samples of each kind of event, by its index.
        num_dropped: What was not used, by reason.
    """

    event_names: list[str]
    latencies: dict[tuple[int, int], Latency] = field(default_factory=dict)
    samples: dict[int, Counter[int]] = field(default_factory=dict)
    num_dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class AnnotatedImport:
    """What an import did.

    Attributes:
        num_blocks: Blocks written.
        num_blocks_without_cycles: Those of which every measurement is zero.
        num_dropped: What was not used, by reason.
    """

    num_blocks: int
    num_blocks_without_cycles: int
    num_dropped: Counter[str]

    def summary_lines(self) -> list[str]:
        """Returns the report for people, a few lines."""
        lines = [f"Wrote {self.num_blocks} (pseudo-)basic block(s)."]
        if self.num_blocks_without_cycles:
            lines.append(
                f"{self.num_blocks_without_cycles} of them have a latency of 0: "
                "not every processor counts cycles in its branch stack"
            )
        return lines + [f"not used: {count:,} {reason}" for reason, count in sorted(self.num_dropped.items())]


def import_annotated_blocks(
    elf_file: Path, perf_file: Path, output_file: Path, source_name: str = "perf_lbr_data"
) -> AnnotatedImport:
    """Imports the blocks of a program from a profile with branch stacks.

    Args:
        elf_file: The program or library, under the file name that it had when it was profiled.
        perf_file: What `perf record -b` wrote.
        output_file: The TFRecord file to write.
        source_name: Throughput source of the latencies.

    Returns:
        What was written and what was not used.

    Raises:
        DataError: A file is bad, the profile does not belong to the program, or some code cannot be decoded. Nothing
            is written then.
        ArtifactError: The output cannot be written.
    """
    with open_content(elf_file) as elf_content, open_content(perf_file) as perf_content:
        elf = ElfFile(elf_content, str(elf_file))
        perf_data = PerfData(perf_content, str(perf_file))
        if not any(event.has_branch_stack for event in perf_data.events):
            raise DataError(f"{perf_file} was recorded without branch stacks", _HINT)
        segment = _code_segment(elf)
        mapping = find_mapping(perf_data, elf_file.name, segment)
        profile = read_profile(perf_data, mapping)
        _check_size(perf_data, profile)
        with (
            RecordWriter(output_file) as writer,
            Progress("import blocks", len(profile.latencies), "blocks") as progress,
        ):
            for record in _records(elf, segment, mapping, profile, source_name):
                writer.write(record)
                progress.advance()
    num_without_cycles = sum(latency.sum_cycles == 0 for latency in profile.latencies.values())
    return AnnotatedImport(writer.num_records, num_without_cycles, profile.num_dropped)


def _code_segment(elf: ElfFile) -> Segment:
    segments = [segment for segment in elf.segments if segment.is_code]
    if len(segments) != 1:
        raise DataError(
            f"{elf.file.name} has {len(segments)} segments that are readable and executable, not one",
            "give an executable or a library as the linker wrote it; an object file (.o) was never run",
        )
    return segments[0]


def find_mapping(perf_data: PerfData, file_name: str, segment: Segment) -> Mapping:
    """Returns the first mapping of the code of a program.

    Args:
        perf_data: The profile.
        file_name: The program's file name without folders.
        segment: Its code.

    Raises:
        DataError: There is none, or it shows another part of the file.
    """
    wanted = file_name.encode("utf-8", "surrogateescape")
    for mapping in read_mappings(perf_data):
        if mapping.is_code and mapping.file_name.rpartition(b"/")[2] == wanted:
            segment_end = segment.file_offset + segment.file_size
            if mapping.page_offset < segment_end and segment.file_offset < mapping.page_offset + mapping.length:
                return mapping
            raise perf_data.file.error(
                f"{file_name} was mapped from offset {mapping.page_offset}, but its code is at {segment.file_offset}; "
                "it is not the file that was profiled"
            )
    raise DataError(
        f"{perf_data.file.name} has no process that ran code of a file named {file_name}",
        "the file must have the name that it had when it was profiled; see `perf script --show-mmap-events`",
    )


def read_profile(perf_data: PerfData, mapping: Mapping) -> Profile:
    """Collects blocks and samples of the code of one mapping, in one process.

    Args:
        perf_data: The profile.
        mapping: The code.

    Returns:
        The blocks with their latencies and the samples, by address in the process.

    Raises:
        DataError: A record is damaged.
    """
    kinds, names = _event_kinds(perf_data)
    profile = Profile(names)
    end = mapping.start + mapping.length
    with Progress("read profile", None, "samples") as progress:
        for sample in read_samples(perf_data):
            progress.advance()
            if sample.process_id != mapping.process_id:
                profile.num_dropped["samples of other processes"] += 1
                continue
            if mapping.start <= sample.address < end:
                profile.samples.setdefault(sample.address, Counter())[kinds[sample.event_index]] += 1
            else:
                profile.num_dropped["samples at other addresses"] += 1
            older = None
            for branch in reversed(list(read_branches(sample))):
                if older is not None:
                    _add_block(profile, mapping, older.target, branch.source, branch.cycles)
                older = branch
    return profile


def _event_kinds(perf_data: PerfData) -> tuple[list[int], list[str]]:
    """Groups events of which one unit counts the same, by the lowest bits of their configuration.

    Returns:
        For each event the index of its kind; the names of the kinds, each that of its first event.
    """
    index_by_key: dict[tuple[int, int], int] = {}
    kinds: list[int] = []
    names: list[str] = []
    for event in perf_data.events:
        key = (event.kind, event.config & _CONFIG_MASK)
        if key not in index_by_key:
            index_by_key[key] = len(names)
            names.append(event.name)
        kinds.append(index_by_key[key])
    return kinds, names


def _add_block(profile: Profile, mapping: Mapping, begin: int, end: int, cycles: int) -> None:
    """Adds one measurement of the block between two branches; the branch that ends it does not belong to it."""
    if not mapping.start <= begin or not end <= mapping.start + mapping.length:
        profile.num_dropped["blocks at other addresses"] += 1
    elif begin >= end:
        profile.num_dropped["blocks without instructions"] += 1
    elif end - begin > MAX_BLOCK_BYTES:
        profile.num_dropped[f"blocks of more than {MAX_BLOCK_BYTES} bytes"] += 1
    else:
        latency = profile.latencies.setdefault((begin, end), Latency())
        latency.sum_cycles += cycles
        latency.num_measurements += 1


def _check_size(perf_data: PerfData, profile: Profile) -> None:
    num_bytes = sum(end - begin for begin, end in profile.latencies)
    if num_bytes > MAX_CODE_BYTES:
        raise DataError(
            f"the blocks in {perf_data.file.name} have {num_bytes} bytes together, more than {MAX_CODE_BYTES}", _HINT
        )


def _records(elf: ElfFile, segment: Segment, mapping: Mapping, profile: Profile, source_name: str) -> Iterator[bytes]:
    """Yields a serialised `BasicBlockWithThroughputProto` for each block."""
    from gematria_ops.blocks.decoding import UndecodableError, decode_block

    encoder, source = BlockEncoder(), encode_source(source_name)
    to_offset = mapping.page_offset - mapping.start
    to_address = to_offset - segment.file_offset + segment.address
    for (begin, end), latency in profile.latencies.items():
        # What was made up can lead out of the numbers that are addresses.
        address = (begin + to_address) & _MAX_ADDRESS
        code = elf.file.bytes_at(begin + to_offset, end - begin, f"the block at address 0x{address:x}")
        try:
            decoded = decode_block(code)
        except UndecodableError as error:
            raise DataError(
                f"{elf.file.name}: block at address 0x{address:x}, {error.message}",
                "check that this is the very file that was profiled",
            ) from None
        block = encoder.encode_block(decoded, address, _annotations(profile, begin, decoded))
        yield encode_block_with_throughputs(block, [(source, latency.mean_cycles)])


def _annotations(
    profile: Profile, begin: int, decoded: Iterable[DecodedInstruction]
) -> dict[int, tuple[Annotation, ...]]:
    """Returns index of an instruction to its annotations, for those that have samples."""
    found: dict[int, tuple[Annotation, ...]] = {}
    position = begin
    for index, item in enumerate(decoded):
        counts = profile.samples.get(position)
        if counts:
            found[index] = tuple(
                Annotation(profile.event_names[kind], float(count)) for kind, count in sorted(counts.items())
            )
        position += len(item.machine_code)
    return found
