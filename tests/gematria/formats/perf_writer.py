"""Writes perf.data files for tests, after Linux' perf.data-file-format.txt and linux/perf_event.h.

Fields are written one by one as the documents list them; nothing is shared with the reader under test.
"""

from dataclasses import dataclass, field, replace
from struct import pack

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD = (1 << bit for bit in range(9))
STREAM_ID, RAW, BRANCH_STACK = 1 << 9, 1 << 10, 1 << 11
IDENTIFIER = 1 << 16
BRANCH_HW_INDEX = 1 << 17
BRANCH_ANY_USER = 1 << 0 | 1 << 3

PROT_READ, PROT_EXEC = 1, 4
MISC_USER, MISC_MMAP_DATA = 2, 1 << 13

# Of Linux 6.1; newer systems append fields.
ATTRIBUTE_BYTES = 128

DEFAULT_SAMPLE = IP | TID | TIME | PERIOD | BRANCH_STACK | IDENTIFIER


@dataclass(frozen=True)
class Event:
    """An event as `perf record -e name` would open it."""

    name: str = "cycles:u"
    kind: int = 0
    config: int = 0
    ids: tuple[int, ...] = (100,)
    sample_type: int = DEFAULT_SAMPLE
    read_format: int = 4
    branch_sample_type: int = BRANCH_ANY_USER

    def attributes(self):
        # type, size, config, sample period, sample type, read format; flags (exclude_kernel), wakeup, bp_type;
        # config1, config2, branch sample type; and what else there is
        return (
            pack("<IIQQQQ", self.kind, ATTRIBUTE_BYTES, self.config, 1000, self.sample_type, self.read_format)
            + pack("<QIIQQQ", 1 << 5 | 1 << 18, 0, 0, 0, 0, self.branch_sample_type)
            + bytes(ATTRIBUTE_BYTES - 80)
        )


@dataclass(frozen=True)
class Recording:
    """A perf.data file in the making; `data` are records as the functions below make them."""

    events: tuple[Event, ...] = (Event(),)
    data: bytes = b""
    features: dict[int, bytes] = field(default_factory=dict)
    describes_events: bool = True

    def with_data(self, *records):
        return replace(self, data=b"".join(records))

    def content(self):
        features = dict(self.features)
        if self.describes_events:
            features[12] = event_descriptions(self.events)
        ids = b"".join(pack("<Q", number) for event in self.events for number in event.ids)
        ids_offset, table = 104, b""
        for event in self.events:
            table += event.attributes() + pack("<QQ", ids_offset, 8 * len(event.ids))
            ids_offset += 8 * len(event.ids)
        table_offset = 104 + len(ids)
        data_offset = table_offset + len(table)
        header = b"PERFILE2" + pack("<QQ", 104, ATTRIBUTE_BYTES + 16)
        header += pack("<QQQQQQ", table_offset, len(table), data_offset, len(self.data), 0, 0)
        header += sum(1 << bit for bit in features).to_bytes(32, "little")
        return header + ids + table + self.data + _feature_sections(features, data_offset + len(self.data))


def _feature_sections(features, offset):
    offset += 16 * len(features)
    table = content = b""
    for bit in sorted(features):
        table += pack("<QQ", offset + len(content), len(features[bit]))
        content += features[bit]
    return table + content


def event_descriptions(events):
    content = pack("<II", len(events), ATTRIBUTE_BYTES)
    for event in events:
        name = event.name.encode() + b"\0"
        name += bytes(-len(name) % 64)
        content += event.attributes() + pack("<II", len(event.ids), len(name)) + name
        content += b"".join(pack("<Q", number) for number in event.ids)
    return content


def record(kind, content, misc=MISC_USER):
    return pack("<IHH", kind, misc, 8 + len(content)) + content


def mmap2(pid, start, length, page_offset, name, rights=PROT_READ | PROT_EXEC):
    content = (
        pack("<IIQQQ", pid, pid, start, length, page_offset) + pack("<IIQQ", 8, 1, 4711, 0) + pack("<II", rights, 2)
    )
    return record(10, content + _name(name) + _sample_id(pid))


def mmap(pid, start, length, page_offset, name, misc=MISC_USER):
    return record(1, pack("<IIQQQ", pid, pid, start, length, page_offset) + _name(name) + _sample_id(pid), misc)


def _name(name):
    encoded = name.encode() + b"\0"
    return encoded + bytes(-len(encoded) % 8)


def _sample_id(pid):
    return pack("<IIQQ", pid, pid, 0, 100)


def sample(event, address, pid, branches=(), **fields):
    """A sample; branches are (from, to, cycles), newest first. Fields that matter to no test hold a constant."""
    has = event.sample_type.__and__
    number = fields.get("number", event.ids[0] if event.ids else 0)
    parts = [
        (IDENTIFIER, pack("<Q", number)),
        (IP, pack("<Q", address)),
        (TID, pack("<II", pid, pid + 1)),
        (TIME, pack("<Q", 123456789)),
        (ADDR, pack("<Q", 0xADD)),
        (ID, pack("<Q", number)),
        (STREAM_ID, pack("<Q", 5)),
        (CPU, pack("<II", 3, 0)),
        (PERIOD, pack("<Q", 1000)),
        (READ, fields.get("read", b"")),
        (CALLCHAIN, pack("<Q3Q", 3, 1, 2, 3)),
        (RAW, pack("<I", 12) + bytes(12)),
        (BRANCH_STACK, _branch_stack(event, branches)),
    ]
    return record(9, b"".join(content for bit, content in parts if has(bit)))


def _branch_stack(event, branches):
    content = pack("<Q", len(branches))
    if event.branch_sample_type & BRANCH_HW_INDEX:
        content += pack("<Q", 7)
    for source, target, cycles in branches:
        # mispredicted, predicted, in transaction, abort; 16 bits of cycles; a branch type behind them
        content += pack("<QQQ", source, target, 1 << 1 | cycles << 4 | 3 << 20)
    return content
