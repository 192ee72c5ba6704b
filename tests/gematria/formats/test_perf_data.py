"""perf.data: what was written by the documents is read, what is not supported is refused by name."""

import struct
from dataclasses import replace

import pytest

from gematria_ops.formats.perf_data import PerfData
from gematria_ops.formats.perf_samples import Branch, Mapping, read_branches, read_mappings, read_samples
from ops_common.errors import DataError
from tests.gematria.formats import perf_writer as perf
from tests.gematria.formats.perf_writer import Event, Recording

CYCLES = Event("cycles:u", 0, 0, (100, 101))
INSTRUCTIONS = Event("instructions:u", 0, 1, (200,))
BRANCHES = ((0x1010, 0x1000, 7), (0x1020, 0x1008, 0xFFFF), (0x1030, 0x1009, 0))
SAMPLE = perf.sample(CYCLES, 0x1004, 7, BRANCHES)


def read(recording, *records):
    return PerfData(recording.with_data(*records).content(), "it.data")


def only_sample(event, content):
    (sample,) = read_samples(read(Recording((event,)), content))
    return sample


def test_events_and_their_names():
    events = read(Recording((CYCLES, INSTRUCTIONS)), SAMPLE).events
    assert [(event.name, event.kind, event.config, event.ids) for event in events] == [
        ("cycles:u", 0, 0, (100, 101)),
        ("instructions:u", 0, 1, (200,)),
    ]
    assert all(event.has_branch_stack for event in events)


@pytest.mark.parametrize(
    "kind, config, name",
    [
        (0, 0, "cycles"),
        (0, 9, "ref-cycles"),
        (0, 10, "type0/config=0xa/"),
        (1, 0, "cpu-clock"),
        (4, 0x1C2, "r1c2"),
        (9, 0x30, "type9/config=0x30/"),
    ],
)
def test_names_of_events_that_are_not_described(kind, config, name):
    recording = Recording((Event("mine", kind, config),), describes_events=False)
    assert [event.name for event in read(recording, SAMPLE).events] == [name]
    assert [event.name for event in read(replace(recording, describes_events=True), SAMPLE).events] == ["mine"]


def test_descriptions_of_other_events_are_not_believed():
    other = perf.event_descriptions((INSTRUCTIONS,))
    recording = Recording((CYCLES,), describes_events=False, features={3: b"host", 12: other})
    assert [event.name for event in read(recording, SAMPLE).events] == ["cycles"]


def test_mappings():
    found = list(
        read_mappings(
            read(
                Recording(),
                perf.mmap2(7, 0x400000, 0x1000, 0x2000, "/usr/bin/a program"),
                perf.mmap2(7, 0x500000, 0x1000, 0, "/lib/x.so", perf.PROT_READ),
                SAMPLE,
                perf.mmap(8, 0x600000, 0x2000, 0, "b"),
                perf.mmap(8, 0x700000, 0x2000, 0, "b", perf.MISC_MMAP_DATA),
            )
        )
    )
    assert found == [
        Mapping(7, 0x400000, 0x1000, 0x2000, b"/usr/bin/a program", True),
        Mapping(7, 0x500000, 0x1000, 0, b"/lib/x.so", False),
        Mapping(8, 0x600000, 0x2000, 0, b"b", True),
        Mapping(8, 0x700000, 0x2000, 0, b"b", False),
    ]


def test_a_sample_and_its_branches():
    sample = only_sample(CYCLES, SAMPLE)
    assert (sample.event_index, sample.process_id, sample.address) == (0, 7, 0x1004)
    assert list(read_branches(sample)) == [Branch(*branch) for branch in BRANCHES]


EVERYTHING = perf.DEFAULT_SAMPLE | perf.ADDR | perf.ID | perf.STREAM_ID | perf.CPU | perf.CALLCHAIN | perf.RAW
LAYOUTS = {
    "with hardware index": (replace(CYCLES, branch_sample_type=9 | perf.BRANCH_HW_INDEX), b""),
    "with every other field": (replace(CYCLES, sample_type=EVERYTHING), b""),
    "without identifier": (replace(CYCLES, sample_type=EVERYTHING & ~perf.IDENTIFIER), b""),
    "with what comes behind": (replace(CYCLES, sample_type=perf.DEFAULT_SAMPLE | 1 << 14 | 1 << 15), b""),
    "value": (replace(CYCLES, sample_type=EVERYTHING | perf.READ, read_format=0), struct.pack("<Q", 5)),
    "value, times, ID, lost": (
        replace(CYCLES, sample_type=EVERYTHING | perf.READ, read_format=1 | 2 | 4 | 16),
        struct.pack("<5Q", *range(5)),
    ),
    "values of a group": (
        replace(CYCLES, sample_type=EVERYTHING | perf.READ, read_format=8 | 1 | 4),
        struct.pack("<2Q", 3, 99) + struct.pack("<6Q", *range(6)),
    ),
}


@pytest.mark.parametrize("event, values", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layouts_of_samples(event, values):
    sample = only_sample(event, perf.sample(event, 0x1004, 7, BRANCHES, read=values))
    assert (sample.process_id, sample.address) == (7, 0x1004)
    assert list(read_branches(sample)) == [Branch(*branch) for branch in BRANCHES]


def test_samples_without_branches():
    event = replace(CYCLES, sample_type=perf.IP | perf.TID)
    assert only_sample(event, perf.sample(event, 0x1004, 7)).branch_records == b""
    assert only_sample(CYCLES, perf.sample(CYCLES, 0x1004, 7)).branch_records == b""


@pytest.mark.parametrize("bits", [perf.IDENTIFIER, perf.ID])
def test_the_id_tells_the_event(bits):
    kept = perf.IP | perf.TID | perf.ADDR | bits
    events = (replace(CYCLES, sample_type=kept), replace(INSTRUCTIONS, sample_type=kept))
    records = [perf.sample(events[0], 1, 7, number=number) for number in (200, 100, 101, 200)]
    assert [sample.event_index for sample in read_samples(read(Recording(events), *records))] == [1, 0, 0, 1]


def test_with_one_event_no_id_is_needed():
    event = replace(CYCLES, ids=(), sample_type=perf.IP | perf.TID)
    assert only_sample(event, perf.sample(event, 1, 7, number=5)).event_index == 0


def test_records_that_do_not_matter_are_passed_over():
    trace = perf.record(71, struct.pack("<QQ", 24, 0)) + b"\xff" * 24
    perf_data = read(Recording(), perf.record(3, bytes(24)), trace, SAMPLE, perf.record(68, b""))
    assert [record.kind for record in perf_data.records()] == [3, 71, 9, 68]
    assert len(list(read_samples(perf_data))) == 1


CONTENT = Recording().with_data(SAMPLE).content()
MULTIPLE = Recording((CYCLES, replace(INSTRUCTIONS, sample_type=perf.IP | perf.TID | perf.ID)))


def patched(offset, layout, *values, content=CONTENT):
    changed = bytearray(content)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


BAD_FILES = {
    "empty": (b"", "this is not a perf.data file"),
    "text": (b"perf report\n" * 20, "this is not a perf.data file"),
    "big-endian": (CONTENT[7::-1] + CONTENT[8:], "from a big-endian machine"),
    "old": (b"PERFFILE" + CONTENT[8:], "the format of perf before 2010"),
    "piped": (patched(8, "<Q", 16), "written through a pipe, which is not supported"),
    "torn header": (CONTENT[:100], r"the header \(offset 0, 104 bytes\) is not within the file of 100 bytes"),
    "header size": (patched(8, "<Q", 72), "the header says that it has 72 bytes, not 104"),
    "compressed": (Recording(features={27: bytes(20)}).with_data(SAMPLE).content(), "the records are compressed"),
    "folder": (Recording(features={24: bytes(8)}).with_data(SAMPLE).content(), "spread over the files of a folder"),
    "interrupted": (Recording().content(), "there are no records; was the recording interrupted"),
    "cut": (CONTENT[:300], "the end of the records .* is not within the file of 300 bytes"),
    "no events": (patched(32, "<Q", 0), "there are 0 events, not 1 to 1024"),
    "entry size": (patched(16, "<Q", 40), r"the table of events is damaged \(entries of 40 bytes\)"),
    "entry size 0": (patched(16, "<Q", 0), r"the table of events is damaged \(entries of 0 bytes\)"),
    "half an event": (patched(32, "<Q", 143), "the table of events is damaged"),
    "many events": (patched(32, "<Q", 144 * 1025), "there are 1025 events, not 1 to 1024"),
    "events far away": (patched(24, "<Q", 2**63), "the table of events .* is not within"),
    "IDs far away": (patched(112 + 128, "<Q", 2**63), "the IDs of an event .* is not within"),
    "many IDs": (patched(112 + 136, "<Q", 2**40), "there are more than 1048576 IDs"),
    "records far away": (patched(40, "<Q", 2**63), "the end of the records"),
    "features cut": (CONTENT[: len(CONTENT) - 1], "the description of events .* is not within the file"),
}


@pytest.mark.parametrize("content, message", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files(content, message):
    with pytest.raises(DataError, match=r"^bad\.data: .*" + message) as caught:
        PerfData(content, "bad.data")
    assert caught.value.hint


DESCRIPTIONS = {
    "count": (struct.pack("<II", 1025, 128), "1025 events of 128 bytes"),
    "size": (struct.pack("<II", 1, 32), "1 events of 32 bytes"),
    "torn": (struct.pack("<II", 1, 128) + bytes(128), "a number of IDs .* is not within the file of 136 bytes"),
    "long name": (struct.pack("<II", 1, 128) + bytes(128) + struct.pack("<II", 0, 2**31), "a name of 2147483648 bytes"),
}


@pytest.mark.parametrize("content, message", DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_bad_descriptions(content, message):
    recording = Recording(describes_events=False, features={12: content})
    with pytest.raises(DataError, match="it.data: the description of events: " + message):
        read(recording, SAMPLE)


BAD_RECORDS = {
    "no size": (Recording(), struct.pack("<IHH", 9, 2, 0), r"the record at byte \d+ has a wrong size \(0 bytes\)"),
    "too large": (Recording(), struct.pack("<IHH", 9, 2, 9), r"the record at byte \d+ has a wrong size \(9 bytes\)"),
    "trace too large": (Recording(), perf.record(71, struct.pack("<Q", 2**63)), "longer than the file says"),
    "compressed": (Recording(), perf.record(81, b"zstd"), "the records are compressed"),
    "compressed, new": (Recording(), perf.record(83, b"zstd"), "the records are compressed"),
    "empty sample": (Recording(), perf.record(9, b""), r"the record at byte \d+ is damaged"),
    "short branches": (Recording(), perf.record(9, SAMPLE[8:-1]), r"the record at byte \d+ is damaged"),
    "many branches": (
        Recording(),
        perf.record(9, patched(40, "<Q", 2**64 - 1, content=SAMPLE[8:])),
        r"the record at byte \d+ is damaged",
    ),
    "long call chain": (
        Recording((replace(CYCLES, sample_type=EVERYTHING),)),
        perf.record(9, bytes(9 * 8) + struct.pack("<Q", 2**64 - 1)),
        r"the record at byte \d+ is damaged",
    ),
    "unknown ID": (
        Recording((CYCLES, INSTRUCTIONS)),
        perf.sample(CYCLES, 1, 7, number=5),
        r"the sample at byte \d+ belongs to no event \(ID 5\)",
    ),
    "IDs at different places": (MULTIPLE, SAMPLE, "samples do not say to which of them they belong"),
    "no address": (
        Recording((replace(CYCLES, sample_type=perf.TID),)),
        perf.record(9, bytes(8)),
        "the samples of cycles:u do not say in which process, or at which address",
    ),
}


@pytest.mark.parametrize("recording, records, message", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_bad_records(recording, records, message):
    with pytest.raises(DataError, match=r"^it\.data: .*" + message):
        list(read_samples(read(recording, records)))


@pytest.mark.parametrize("kind", [1, 10])
def test_a_mapping_that_is_too_short(kind):
    with pytest.raises(DataError, match=r"the record at byte \d+ is damaged"):
        list(read_mappings(read(Recording(), perf.record(kind, bytes(31)))))
