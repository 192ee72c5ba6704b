"""The records of a perf.data file that matter here: which files were mapped where, and samples with branch stacks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from gematria_ops.formats.perf_data import EventType, PerfData, Record
from ops_common.errors import DataError

# Types of records.
_MMAP, _SAMPLE, _MMAP2 = 1, 9, 10
_DATA_MAPPING = 1 << 13  # misc flag of a mapping without the right to execute
_MAPPING = struct.Struct("<IIQQQ")  # process, thread, address, length, page offset
# Device, inode and its generation, or instead of them a build ID; then rights and flags.
_MAPPING2 = struct.Struct("<IIQQQ24xII")
_READ_RIGHT, _EXECUTE_RIGHT = 1, 4

# Bits of sample_type, in the order of the fields in a sample.
_IDENTIFIER, _IP, _TID, _TIME, _ADDRESS, _ID = 1 << 16, 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 6
_STREAM_ID, _CPU, _PERIOD = 1 << 9, 1 << 7, 1 << 8
_COUNTER, _CALL_CHAIN, _RAW = 1 << 4, 1 << 5, 1 << 10
_FIXED_FIELDS = (_IDENTIFIER, _IP, _TID, _TIME, _ADDRESS, _ID, _STREAM_ID, _CPU, _PERIOD)

# Bits of read_format.
_TOTAL_TIME_ENABLED, _TOTAL_TIME_RUNNING, _COUNTER_ID, _GROUP, _LOST = 1, 2, 4, 8, 16

_HARDWARE_INDEX = 1 << 17  # bit of branch_sample_type
_WORD = struct.Struct("<Q")
_PROCESS = struct.Struct("<I")
_RAW_SIZE = struct.Struct("<I")
_BRANCH = struct.Struct("<QQQ")


class Mapping(NamedTuple):
    """A part of a file that a process has mapped into its memory.

    Attributes:
        process_id: The process.
        start: First address.
        length: Bytes.
        page_offset: Offset in the file of what is at the first address.
        file_name: The file, as bytes.
        is_code: Whether it may be read and executed.
    """

    process_id: int
    start: int
    length: int
    page_offset: int
    file_name: bytes
    is_code: bool


class Branch(NamedTuple):
    """A taken branch.

    Attributes:
        source: Address of the branch instruction.
        target: Where it went.
        cycles: Clock cycles since the branch before.
    """

    source: int
    target: int
    cycles: int


class Sample(NamedTuple):
    """What was seen when an event happened.

    Attributes:
        event_index: Which event, by its place in `PerfData.events`.
        process_id: In which process.
        address: At which instruction.
        branch_records: The branches before, newest first, as `read_branches` reads them; empty when none were
            recorded.
    """

    event_index: int
    process_id: int
    address: int
    branch_records: bytes


def read_mappings(perf_data: PerfData) -> Iterator[Mapping]:
    """Reads the mappings of a recording in the order of the file.

    Raises:
        DataError: A record is damaged.
    """
    for record in perf_data.records():
        if record.kind not in (_MMAP, _MMAP2):
            continue
        layout = _MAPPING if record.kind == _MMAP else _MAPPING2
        if len(record.content) < layout.size:
            raise _damaged(perf_data, record)
        process_id, _, start, length, page_offset, *rights = layout.unpack_from(record.content)
        if record.kind == _MMAP2:
            is_code = rights[0] & (_READ_RIGHT | _EXECUTE_RIGHT) == _READ_RIGHT | _EXECUTE_RIGHT
        else:
            is_code = not record.misc & _DATA_MAPPING
        file_name = record.content[layout.size :].partition(b"\0")[0]
        yield Mapping(process_id, start, length, page_offset, file_name, is_code)


def read_samples(perf_data: PerfData) -> Iterator[Sample]:
    """Reads the samples of a recording in the order of the file.

    Raises:
        DataError: A record is damaged, or it cannot be told to which event a sample belongs.
    """
    finder = _EventFinder(perf_data)
    layouts = [_SampleLayout(event) for event in perf_data.events]
    for record in perf_data.records():
        if record.kind != _SAMPLE:
            continue
        try:
            event_index = finder.find(record)
            sample = layouts[event_index].read(event_index, record.content)
        except (struct.error, OverflowError):
            raise _damaged(perf_data, record) from None
        if sample is None:
            name = perf_data.events[event_index].name
            raise perf_data.file.error(f"the samples of {name} do not say in which process, or at which address")
        yield sample


def read_branches(sample: Sample) -> Iterator[Branch]:
    """Reads the branch stack of a sample, newest branch first."""
    for source, target, flags in _BRANCH.iter_unpack(sample.branch_records):
        yield Branch(source, target, flags >> 4 & 0xFFFF)


def _damaged(perf_data: PerfData, record: Record) -> DataError:
    return perf_data.file.error(f"the record at byte {record.position} is damaged")


def _field_offset(sample_type: int, field: int) -> int | None:
    """Returns where one of the fixed fields is in a sample; each has eight bytes, and what is not there has none."""
    if not sample_type & field:
        return None
    before = _FIXED_FIELDS[: _FIXED_FIELDS.index(field)]
    return 8 * sum(bool(sample_type & other) for other in before)


class _EventFinder:
    """Finds the event that a sample belongs to, by its ID."""

    def __init__(self, perf_data: PerfData) -> None:
        self._file = perf_data.file
        events = perf_data.events
        self._index_by_id = {number: index for index, event in enumerate(events) for number in event.ids}
        self._offset: int | None = None
        if len(events) > 1:
            offsets = {_id_offset(event.sample_type) for event in events}
            self._offset = offsets.pop() if len(offsets) == 1 else None
            if self._offset is None:
                raise self._file.error("there are several events, and samples do not say to which of them they belong")

    def find(self, record: Record) -> int:
        if self._offset is None:
            return 0
        (number,) = _WORD.unpack_from(record.content, self._offset)
        index = self._index_by_id.get(number)
        if index is None:
            raise self._file.error(f"the sample at byte {record.position} belongs to no event (ID {number})")
        return index


def _id_offset(sample_type: int) -> int | None:
    identifier = _field_offset(sample_type, _IDENTIFIER)
    return _field_offset(sample_type, _ID) if identifier is None else identifier


class _SampleLayout:
    """Where the fields of an event's samples are. The methods raise struct.error or OverflowError when a
    sample is too short."""

    def __init__(self, event: EventType) -> None:
        self._address = _field_offset(event.sample_type, _IP)
        self._process_id = _field_offset(event.sample_type, _TID)
        self._fixed_bytes = 8 * sum(bool(event.sample_type & field) for field in _FIXED_FIELDS)
        self._event = event
        self._has_hardware_index = bool(event.branch_sample_type & _HARDWARE_INDEX)

    def read(self, event_index: int, content: bytes) -> Sample | None:
        """Reads a sample; None when it lacks a field that is needed."""
        if self._address is None or self._process_id is None:
            return None
        (address,) = _WORD.unpack_from(content, self._address)
        (process_id,) = _PROCESS.unpack_from(content, self._process_id)
        return Sample(event_index, process_id, address, self._branch_records(content))

    def _branch_records(self, content: bytes) -> bytes:
        if not self._event.has_branch_stack:
            return b""
        sample_type = self._event.sample_type
        position = self._fixed_bytes
        if sample_type & _COUNTER:
            position += self._num_counter_bytes(content, position)
        if sample_type & _CALL_CHAIN:
            position += 8 + 8 * _WORD.unpack_from(content, position)[0]
        if sample_type & _RAW:
            position += _RAW_SIZE.size + _RAW_SIZE.unpack_from(content, position)[0]
        (count,) = _WORD.unpack_from(content, position)
        start = position + 8 + (8 if self._has_hardware_index else 0)
        end = start + count * _BRANCH.size
        if end > len(content):
            raise struct.error("the branch stack is longer than the sample")
        return content[start:end]

    def _num_counter_bytes(self, content: bytes, position: int) -> int:
        """Returns the size of the counter values at a position."""
        bits = self._event.read_format
        num_times = bool(bits & _TOTAL_TIME_ENABLED) + bool(bits & _TOTAL_TIME_RUNNING)
        num_words = 1 + bool(bits & _COUNTER_ID) + bool(bits & _LOST)
        if bits & _GROUP:
            num_words = 1 + num_words * int(_WORD.unpack_from(content, position)[0])
        return 8 * (num_times + num_words)
