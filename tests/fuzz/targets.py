"""The readers of files from outside, each with files that are right, for tests and fuzzers to damage.

A target takes bytes and reads them to the end. It may raise DataError and nothing else; whatever it raises besides is
a fault of ours.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gematria_ops.data.annotated_importing import import_annotated_blocks
from gematria_ops.data.block_extraction import extract_blocks
from gematria_ops.data.dataset import read_blocks
from gematria_ops.formats.bb_address_map import decode_bb_address_map
from gematria_ops.formats.perf_data import PerfData
from gematria_ops.formats.perf_samples import read_branches, read_mappings, read_samples
from gematria_ops.formats.proto_codec import block_with_throughput_from_proto
from ops_common.errors import DataError
from ops_common.tfrecord import frame_record
from tests.gematria.formats import perf_writer as perf
from tests.gematria.formats.test_bb_address_map import MAPS

ELF = Path(__file__).parents[1] / "data" / "elf"
_PROGRAM = "loop_one_segment"
_BASE = 0x555555554000

# Two samples with a mapping, of two events with all the fields there are in front of a branch stack.
_SAMPLE_TYPE = perf.DEFAULT_SAMPLE | perf.ADDR | perf.ID | perf.CPU | perf.CALLCHAIN | perf.RAW
_EVENTS = (perf.Event("cycles:u", 0, 0, (1, 2), _SAMPLE_TYPE), perf.Event("instructions:u", 0, 1, (3,), _SAMPLE_TYPE))
_BRANCHES = ((_BASE + 0x6D4, _BASE + 0x6CB, 2), (_BASE + 0x6D4, _BASE + 0x6CD, 3), (_BASE + 0x6D4, _BASE + 0x6CB, 1))


def _perf_data() -> bytes:
    return (
        perf.Recording(_EVENTS, features={3: b"\x04\0\0\0box\0"})
        .with_data(
            perf.mmap2(7, _BASE, 0x1000, 0, f"/bin/{_PROGRAM}"),
            *(perf.sample(event, _BASE + 0x6D2, 7, _BRANCHES) for event in _EVENTS),
            perf.mmap(7, _BASE, 0x1000, 0, f"/bin/{_PROGRAM}"),
            perf.record(71, b"\x08" + bytes(15)) + bytes(8),
        )
        .content()
    )


def _import(elf: bytes, perf_data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in (_PROGRAM, "perf.data", "blocks.tfrecord")]
        files[0].write_bytes(elf)
        files[1].write_bytes(perf_data)
        import_annotated_blocks(*files)
        return files[2].read_bytes()


def import_perf_data(content: bytes) -> None:
    """The import of a program that is right with this perf.data file."""
    _import((ELF / _PROGRAM).read_bytes(), content)


def import_elf(content: bytes) -> None:
    """The import of a perf.data file that is right with this program."""
    _import(content, _perf_data())


def read_perf_data(content: bytes) -> None:
    """A perf.data file by itself, which is a hundred times as fast."""
    perf_data = PerfData(content)
    list(read_mappings(perf_data))
    for sample in read_samples(perf_data):
        list(read_branches(sample))


def read_map(content: bytes) -> None:
    """A block map; its first byte says whether it has versions."""
    list(decode_bb_address_map(content[1:], content[:1] == b"\x01", "map"))


def read_records(content: bytes) -> None:
    """A TFRecord file of blocks."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "blocks.tfrecord"
        file.write_bytes(content)
        for proto in read_blocks(file):
            block_with_throughput_from_proto(proto)


def read_payload(content: bytes) -> None:
    """A TFRecord file with one record, whose framing is right."""
    read_records(frame_record(content))


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: Reads a file from its bytes.
        seeds: Files that are right.
    """

    read: Callable[[bytes], None]
    seeds: tuple[bytes, ...]

    def try_to_read(self, content: bytes) -> bool:
        """Reads a file; tells whether it was accepted. Raises what is not a DataError."""
        try:
            self.read(content)
        except DataError:
            return False
        return True


def _targets() -> dict[str, Target]:
    perf_data = _perf_data()
    program = (ELF / _PROGRAM).read_bytes()
    records = _import(program, perf_data)
    payloads = tuple(record.SerializeToString() for record in _read(records))
    objects = tuple((ELF / name).read_bytes() for name in ("clang14.o", "clang14", "clang19.o", "clang19"))
    return {
        "extract_blocks": Target(lambda content: (extract_blocks(content), None)[1], objects),
        "block_map": Target(
            read_map, tuple(bytes([has_version]) + content for has_version, content, _ in MAPS.values())
        ),
        "perf_data": Target(read_perf_data, (perf_data,)),
        "import_perf_data": Target(import_perf_data, (perf_data,)),
        "import_elf": Target(import_elf, (program,)),
        "tfrecord": Target(read_records, (records,)),
        "block_proto": Target(read_payload, payloads),
    }


def _read(records: bytes) -> list:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "blocks.tfrecord"
        file.write_bytes(records)
        return list(read_blocks(file))


TARGETS = _targets()
