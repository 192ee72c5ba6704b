"""A sound data set passes; each kind of damage is found and named."""

import math

import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.data.checking import Finding, check_record_files
from gematria_ops.data.merging import import_and_merge
from gematria_ops.data.record_files import find_record_files
from gematria_ops.formats.block_encoding import encode_decoded_block
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.tfrecord import write_records

CODE = "488b034801d8"  # mov rax, [rbx]; add rax, rbx


def sound(code=CODE, base_address=0):
    """A record with two samples, and prefixes."""
    message = BasicBlockWithThroughputProto()
    decoded = decode_block(bytes.fromhex(code))
    message.basic_block.ParseFromString(encode_decoded_block(decoded, base_address))
    entry = message.inverse_throughputs.add(source="a", inverse_throughput_cycles=[2.0, 3.0])
    for _ in decoded:
        entry.prefix_inverse_throughputs.add(inverse_throughput_cycles=[2.0, 3.0])
    return message


def write(path, *payloads):
    write_records(path, payloads)
    return path


def findings(report):
    return {finding: (num, report.first[finding].text) for finding, num in report.num_by_finding.items()}


def check(tmp_path, *messages):
    payloads = (message if isinstance(message, bytes) else message.SerializeToString() for message in messages)
    return check_record_files([write(tmp_path / "blocks", *payloads)])


def test_sound_records(tmp_path):
    report = check(tmp_path, sound(), sound("90", base_address=2**64 - 1), sound("f00103"))
    assert (report.num_records, report.num_errors, report.num_by_finding) == (3, 0, {})
    assert report.lines() == ["3 records, 0 errors"]


def test_annotations_are_not_part_of_the_comparison(tmp_path):
    message = sound()
    message.basic_block.canonicalized_instructions[0].instruction_annotations.add(name="cycles", value=3)
    assert check(tmp_path, message).num_by_finding == {}


def damage(change):
    message = sound()
    change(message)
    return message


def set_field(field, value):
    def change(message):
        setattr(message.basic_block.canonicalized_instructions[1], field, value)

    return change


def add_source(message):
    message.inverse_throughputs.add(source="a", inverse_throughput_cycles=[2.0])


def join_instructions(message):
    first, second = message.basic_block.machine_instructions
    first.machine_code, second.machine_code = first.machine_code[:2], first.machine_code[2:] + second.machine_code
    second.address = 2


def samples(*values):
    def change(message):
        message.inverse_throughputs[0].inverse_throughput_cycles[:] = values
        message.inverse_throughputs[0].prefix_inverse_throughputs[-1].inverse_throughput_cycles[:] = values

    return change


def prefixes(message):
    return message.inverse_throughputs[0].prefix_inverse_throughputs


DAMAGES = {
    "lists": (
        lambda message: message.basic_block.machine_instructions.pop(),
        Finding.LISTS_DIFFER_IN_LENGTH,
        "1 machine, 2 canonical instructions",
    ),
    "undecodable": (
        lambda message: setattr(message.basic_block.machine_instructions[1], "machine_code", b"\x06"),
        Finding.UNDECODABLE,
        "undecodable machine code at byte 3 of 4: there is no such instruction (06)",
    ),
    "boundaries": (
        join_instructions,
        Finding.OTHER_BOUNDARIES,
        "decoded, there are 2 instructions that begin elsewhere",
    ),
    "mnemonic": (
        set_field("mnemonic", "SUB"),
        Finding.OTHER_CANONICAL_FORM,
        "instruction 1 (4801d8): 'ADD64rr' instead of ADD64rr",
    ),
    "opcode": (
        set_field("llvm_mnemonic", "ADD64rr_REV"),
        Finding.OTHER_CANONICAL_FORM,
        "instruction 1 (4801d8): 'ADD64rr_REV' instead of ADD64rr",
    ),
    "address": (
        lambda message: setattr(message.basic_block.machine_instructions[1], "address", 5),
        Finding.ADDRESS_GAP,
        "instruction 1 is at 5, not at 3",
    ),
    "source": (add_source, Finding.DUPLICATE_SOURCE, "2 entries of 'a'"),
    "nan": (samples(math.nan), Finding.LABEL_NOT_FINITE, "nan of 'a'"),
    "infinite": (samples(2.0, -math.inf), Finding.LABEL_NOT_FINITE, "-inf of 'a'"),
    "negative": (samples(-1.5), Finding.LABEL_NOT_POSITIVE, "-1.5 of 'a'"),
    "zero": (samples(0.0), Finding.LABEL_NOT_POSITIVE, "0 of 'a'"),
    "prefix": (
        lambda message: prefixes(message).pop(),
        Finding.PREFIX_COUNT,
        "1 prefixes for 2 instructions of 'a'",
    ),
    "empty prefix": (
        lambda message: prefixes(message)[0].ClearField("inverse_throughput_cycles"),
        Finding.PREFIX_WITHOUT_LABEL,
        "prefix 0 of 'a'",
    ),
    "last prefix": (
        lambda message: prefixes(message)[1].inverse_throughput_cycles.append(4.0),
        Finding.LAST_PREFIX_DIFFERS,
        "[2.0, 3.0, 4.0] for all instructions, [2.0, 3.0] for the block, of 'a'",
    ),
}


@pytest.mark.parametrize("change, finding, text", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_records(tmp_path, change, finding, text):
    report = check(tmp_path, sound("90"), damage(change))
    assert findings(report) == {finding: (1, text)}
    assert (report.first[finding].record_index, report.num_errors) == (1, 1)


def test_empty_blocks_duplicates_and_other_messages(tmp_path):
    report = check(tmp_path, sound(""), sound(), b"\xff", sound(base_address=7), sound())
    assert findings(report) == {
        Finding.EMPTY_BLOCK: (1, "there is no instruction in canonical form"),
        Finding.NOT_A_BLOCK: (1, "not a BasicBlockWithThroughputProto"),
        Finding.DUPLICATE_BLOCK: (2, f"machine code {CODE}"),
    }
    path = tmp_path / "blocks"
    assert report.lines() == [
        "5 records, 4 errors",
        f"  not_a_block: 1, first in record 2 of {path}: not a BasicBlockWithThroughputProto",
        f"  empty_block: 1, first in record 0 of {path}: there is no instruction in canonical form",
        f"  duplicate_block: 2, first in record 3 of {path}: machine code {CODE}",
    ]


def test_notes_are_no_errors(tmp_path):
    message = sound()
    del message.basic_block.machine_instructions[:]
    message.inverse_throughputs[0].ClearField("inverse_throughput_cycles")
    report = check(tmp_path, message)
    assert (set(report.num_by_finding), report.num_errors) == ({Finding.NO_MACHINE_CODE, Finding.NO_LABEL}, 0)


def test_a_torn_file_does_not_hide_the_next(tmp_path):
    first, second = (write(tmp_path / name, sound().SerializeToString()) for name in ("1", "2"))
    first.write_bytes(first.read_bytes()[:-1])
    report = check_record_files([first, second])
    assert report.num_records == 1
    assert list(report.num_by_finding) == [Finding.DAMAGED_FILE]
    assert "record 0 is damaged" in report.first[Finding.DAMAGED_FILE].text


@pytest.fixture
def dataset(tmp_path):
    csv_file = tmp_path / "blocks.csv"
    csv_file.write_text("".join(f"{code},100.0\n" for code in ("90", CODE, "4801d8", "c3", "3b31", "55", "53")))
    import_and_merge([csv_file], ["a"], tmp_path / "dataset", num_workers=1)
    return tmp_path / "dataset"


def test_a_data_set(dataset):
    report = check_record_files(find_record_files([dataset]), [dataset])
    assert (report.num_records, report.num_by_finding) == (7, {})


def test_a_data_set_that_was_changed(dataset):
    train, test = dataset / "train.tfrecord", dataset / "test.tfrecord"
    test.write_bytes(train.read_bytes())
    (dataset / "import_report.json").unlink()
    report = check_record_files(find_record_files([dataset]), [dataset])
    assert report.num_by_finding[Finding.MANIFEST] == 2
    assert Finding.DUPLICATE_BLOCK in report.num_by_finding
    (dataset / "manifest.json").write_text("{")
    report = check_record_files([], [dataset])
    assert "is not JSON" in report.first[Finding.MANIFEST].text
