"""Linux perf.data files: what was recorded, and the stream of records, whose content `perf_samples.py` reads.

The file as `perf record` writes it, little-endian:

    header      magic, sizes, where events and records are, which features there are
    events      a perf_event_attr each, and where the IDs of its samples are
    records     type, size and content each
    features    one entry (offset and size) for each feature bit, right behind the records

Source: perf.data-file-format.txt and linux/perf_event.h of Linux. Recordings that are compressed, piped, spread over a
folder, or from a big-endian machine are refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gematria_ops.formats.binary_input import BinaryInput, Content
from ops_common.errors import DataError

_MAGIC = b"PERFILE2"
_HEADER = struct.Struct("<8sQQQQQQQQ32s")
_PIPED_HEADER_BYTES = 16
_RANGE = struct.Struct("<QQ")  # offset, size
_ID = struct.Struct("<Q")
_COUNT = struct.Struct("<I")
# perf_event_attr up to read_format; what comes later may be missing in an old file.
_ATTRIBUTES = struct.Struct("<IIQQQQ")
_MIN_ATTRIBUTE_BYTES, _MAX_ATTRIBUTE_BYTES = 64, 1 << 12
_BRANCH_TYPE_OFFSET = 72
_RECORD = struct.Struct("<IHH")  # type, misc, size

_EVENT_DESCRIPTIONS, _FOLDER_FORMAT, _COMPRESSED = 12, 24, 27  # bits of features
_AUXILIARY_TRACE = 71  # type of a record that data of its own follows
_COMPRESSED_RECORDS = (81, 83)

BRANCH_STACK = 1 << 11  # bit of sample_type

_MAX_EVENTS = 1 << 10
_MAX_IDS = 1 << 20
_MAX_NAME_BYTES = 1 << 12

HINT = "give a file that `perf record -b` has written to the end, not through a pipe and without --compression-level"

# Names of event types by number, for files that do not name their events.
# fmt: off
_TYPE_NAMES = {
    0: ("cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses", "bus-cycles",
        "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles"),
    1: ("cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults",
        "major-faults", "alignment-faults", "emulation-faults", "dummy", "bpf-output", "cgroup-switches"),
}
# fmt: on
_RAW = 4  # the kind that takes the number of the processor's manual


@dataclass(frozen=True, slots=True)
class EventType:
    """An event that was recorded.

    Attributes:
        name: As perf names it, for example `cycles:u`.
        kind: Number of the unit that counts it.
        config: What is counted; its meaning depends on the unit.
        sample_type: Bits that say which fields a sample has.
        read_format: Bits that say how a counter value in a sample looks.
        branch_sample_type: Bits that say how a branch stack in a sample looks.
        ids: Numbers that samples of this event carry.
    """

    name: str
    kind: int
    config: int
    sample_type: int
    read_format: int
    branch_sample_type: int
    ids: tuple[int, ...]

    @property
    def has_branch_stack(self) -> bool:
        """Whether its samples have a branch stack."""
        return self.sample_type & BRANCH_STACK != 0


class Record(NamedTuple):
    """A record of the stream.

    Attributes:
        kind: Its type.
        misc: Flags; their meaning depends on the type.
        position: Offset in the file, for messages.
        content: What follows its header.
    """

    kind: int
    misc: int
    position: int
    content: bytes


class PerfData:
    """A perf.data file.

    Args:
        content: The whole file.
        name: What messages call it.

    Raises:
        DataError: It is no perf.data file, is damaged, or is of a kind that is not supported.
    """

    def __init__(self, content: Content, name: str = "the perf.data file") -> None:
        self.file = BinaryInput(content, name, HINT)
        _, _, entry_bytes, events, events_bytes, self._records, self._records_bytes, _, _, bits = self._read_header()
        self._features = int.from_bytes(bits, "little")
        self._check_kind()
        if self._records_bytes == 0:
            raise self.file.error("there are no records; was the recording interrupted?")
        self.file.bytes_at(self._records + self._records_bytes, 0, "the end of the records")
        self.events = self._with_names(self._read_events(events, events_bytes, entry_bytes))

    def _read_header(self) -> tuple[Any, ...]:
        magic = self.file.content[:8]
        if magic == _MAGIC[::-1]:
            raise self.file.error("this perf.data file is from a big-endian machine")
        if magic == b"PERFFILE":
            raise self.file.error("this perf.data file has the format of perf before 2010")
        if magic != _MAGIC:
            raise self.file.error("this is not a perf.data file")
        if self.file.content[8:16] == _PIPED_HEADER_BYTES.to_bytes(8, "little"):
            raise self.file.error("this perf.data file was written through a pipe, which is not supported")
        header = self.file.unpack(_HEADER, 0, "the header")
        if header[1] < _HEADER.size:
            raise self.file.error(f"the header says that it has {header[1]} bytes, not {_HEADER.size}")
        return header

    def _check_kind(self) -> None:
        if self._features >> _FOLDER_FORMAT & 1:
            raise self.file.error("this recording is spread over the files of a folder, which is not supported")
        if self._features >> _COMPRESSED & 1:
            raise self._compressed()

    def _compressed(self) -> DataError:
        return self.file.error("the records are compressed, which is not supported")

    def _read_events(self, offset: int, num_bytes: int, entry_bytes: int) -> list[EventType]:
        attribute_bytes = entry_bytes - _RANGE.size
        if not _MIN_ATTRIBUTE_BYTES <= attribute_bytes <= _MAX_ATTRIBUTE_BYTES or num_bytes % entry_bytes:
            raise self.file.error(f"the table of events is damaged (entries of {entry_bytes} bytes)")
        count = num_bytes // entry_bytes
        if not 0 < count <= _MAX_EVENTS:
            raise self.file.error(f"there are {count} events, not 1 to {_MAX_EVENTS}")
        table = self.file.bytes_at(offset, num_bytes, "the table of events")
        events = []
        num_ids_left = _MAX_IDS
        for start in range(0, num_bytes, entry_bytes):
            ids = _RANGE.unpack_from(table, start + attribute_bytes)
            num_ids_left -= ids[1] // _ID.size
            if num_ids_left < 0:
                raise self.file.error(f"there are more than {_MAX_IDS} IDs of events")
            event_ids = self.file.unpack_table(_ID, ids[0], ids[1] // _ID.size, "the IDs of an event")
            events.append(_event_type(table[start : start + attribute_bytes], tuple(row[0] for row in event_ids)))
        return events

    def _with_names(self, events: list[EventType]) -> tuple[EventType, ...]:
        """Gives the events the names that they were recorded with, if the file knows them."""
        described = self._read_descriptions()
        if [(kind, config) for kind, config, _ in described] != [(event.kind, event.config) for event in events]:
            return tuple(events)
        return tuple(
            replace(event, name=name or event.name) for event, (_, _, name) in zip(events, described, strict=True)
        )

    def _read_descriptions(self) -> list[tuple[int, int, str]]:
        """Reads kind, config and name of the described events; none when the file does not describe them."""
        if not self._features >> _EVENT_DESCRIPTIONS & 1:
            return []
        what = "the description of events"
        num_before = (self._features & ((1 << _EVENT_DESCRIPTIONS) - 1)).bit_count()
        table = self._records + self._records_bytes
        offset, num_bytes = self.file.unpack(_RANGE, table + num_before * _RANGE.size, "the table of features")
        part = BinaryInput(self.file.bytes_at(offset, num_bytes, what), f"{self.file.name}: {what}", HINT)
        (count,) = part.unpack(_COUNT, 0, "the number of events")
        (attribute_bytes,) = part.unpack(_COUNT, 4, "the size of an event")
        if count > _MAX_EVENTS or attribute_bytes < _ATTRIBUTES.size:
            raise part.error(f"{count} events of {attribute_bytes} bytes")
        described = []
        position = 8
        for _ in range(count):
            kind, _, config, *_ = part.unpack(_ATTRIBUTES, position, "an event")
            position += attribute_bytes
            (num_ids,) = part.unpack(_COUNT, position, "a number of IDs")
            (num_name_bytes,) = part.unpack(_COUNT, position + 4, "the length of a name")
            if num_name_bytes > _MAX_NAME_BYTES:
                raise part.error(f"a name of {num_name_bytes} bytes")
            name = part.bytes_at(position + 8, num_name_bytes, "a name").partition(b"\0")[0]
            described.append((kind, config, name.decode("utf-8", "replace")))
            position += 8 + num_name_bytes + num_ids * _ID.size
        return described

    def records(self) -> Iterator[Record]:
        """Reads the records in the order of the file.

        Raises:
            DataError: A record is damaged or compressed.
        """
        position = self._records
        end = self._records + self._records_bytes
        while position < end:
            kind, misc, num_bytes = self.file.unpack(_RECORD, position, "the header of a record")
            if num_bytes < _RECORD.size or position + num_bytes > end:
                raise self.file.error(f"the record at byte {position} has a wrong size ({num_bytes} bytes)")
            if kind in _COMPRESSED_RECORDS:
                raise self._compressed()
            content = self.file.content[position + _RECORD.size : position + num_bytes]
            yield Record(kind, misc, position, content)
            position += num_bytes
            if kind == _AUXILIARY_TRACE and len(content) >= _ID.size:
                position += _ID.unpack_from(content)[0]
        if position > end:
            raise self.file.error("the last record is longer than the file says")


def _event_type(attributes: bytes, ids: tuple[int, ...]) -> EventType:
    kind, _, config, _, sample_type, read_format = _ATTRIBUTES.unpack_from(attributes)
    branch_type = attributes[_BRANCH_TYPE_OFFSET : _BRANCH_TYPE_OFFSET + 8]
    return EventType(
        _type_name(kind, config),
        kind,
        config,
        sample_type,
        read_format,
        int.from_bytes(branch_type, "little"),
        ids,
    )


def _type_name(kind: int, config: int) -> str:
    names = _TYPE_NAMES.get(kind, ())
    if config < len(names):
        return names[config]
    return f"r{config:x}" if kind == _RAW else f"type{kind}/config=0x{config:x}/"
